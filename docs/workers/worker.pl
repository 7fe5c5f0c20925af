#!/usr/bin/perl
# A worker in Perl, with nothing but what comes with it: temp file and rename, under flock(2) of a file beside the target.
use strict;
use warnings;
use Cwd qw(realpath);
use Fcntl qw(:flock O_WRONLY O_CREAT O_EXCL O_RDWR O_APPEND);
use File::Basename qw(fileparse);
use IO::Handle;
use JSON::PP;

my $json = JSON::PP->new->allow_nonref->canonical(0);

sub slurp {
    my ($file) = @_;
    open(my $handle, '<:raw', $file) or die { missing => $!{ENOENT}, said => "$file: $!" };
    local $/;
    return scalar <$handle> // '';
}

sub replace {
    my ($file, $content) = @_;
    my ($base, $folder) = fileparse($file);
    my $temp = "$folder.$base.$$.tmp";
    sysopen(my $handle, $temp, O_WRONLY | O_CREAT | O_EXCL, 0600) or die "$temp: $!";
    print {$handle} $content or die "$temp: $!";
    $handle->flush && $handle->sync or die "$temp: $!";
    chmod((stat $file)[2] & 0777, $handle) if -e $file;
    close($handle) or die "$temp: $!";
    rename($temp, $file) or die "$file: $!";
}

sub locked {
    my ($file, $work) = @_;
    my ($base, $folder) = fileparse($file);
    sysopen(my $lock, "$folder.$base.lock", O_RDWR | O_CREAT, 0644) or die "lock of $file: $!";
    flock($lock, LOCK_EX) or die "lock of $file: $!";
    $work->();    # the lock ends with the handle
}

# A key of an object, or an index of a list: negative ones count from its end. Where nothing is, an object comes to be.
sub inner {
    my ($where, $name) = @_;
    if (ref $where eq 'ARRAY') {
        return $name >= @$where ? \{} : \$where->[$name];
    }
    return \$where->{$name};
}

sub place {
    my ($at, @names) = @_;
    for my $name (@names) {
        $$at //= {};
        $at = inner($$at, $name);
    }
    return $at;
}

# What an update is to do: a list of edits, each with a path and one of set, add and copy.
sub edit {
    my ($document, $edits) = @_;
    for my $edit (@$edits) {
        my $at = place(\$document, @{ $edit->{path} });
        if ($edit->{copy}) {
            $$at = ${ place(\$document, @{ $edit->{copy} }) };
            put($ENV{STRESS_ERR}, 'stress-parent:' . ($$at // 'null') . ';');    # what the update starts from
        }
        elsif (exists $edit->{add}) { $$at = ($$at // 0) + $edit->{add} }
        else                        { $$at = $edit->{set} }
    }
    return $document;
}

sub put {
    my ($file, $content) = @_;
    open(my $handle, '>:raw', $file) or die "$file: $!";
    print {$handle} $content;
    close($handle) or die "$file: $!";
}

my %operations = (
    write => sub {
        my ($file) = @_;
        locked($file, sub { replace($file, slurp($ENV{STRESS_IN})) });
    },
    read   => sub { put($ENV{STRESS_OUT}, slurp($_[0])) },
    update => sub {
        my ($file) = @_;
        my $edits = $json->decode(slurp($ENV{STRESS_IN}));
        locked($file, sub { replace($file, $json->encode(edit($json->decode(slurp($file)), $edits))) });
    },
    append => sub {
        my ($file) = @_;
        locked($file, sub {
            sysopen(my $log, $file, O_WRONLY | O_CREAT | O_APPEND, 0644) or die "$file: $!";
            my $record = slurp($ENV{STRESS_IN});
            (syswrite($log, $record) // -1) == length $record or die "$file: $!";
        });
    },
);

STDOUT->autoflush(1);
print 'hello 1 ', join(' ', sort keys %operations), " update=edits\n";
while (defined(my $line = <STDIN>)) {
    my ($sequence, $operation, $name) = $line =~ /^(\d+) (\w+) (.*)$/ or die "no request: $line";
    my $status = 0;
    if (!eval { $operations{$operation}->(-e $name ? realpath($name) : $name); 1 }) {
        my $error = $@;
        $status = $operation eq 'read' && ref $error && $error->{missing} ? 66 : 70;
        put($ENV{STRESS_ERR}, ref $error ? $error->{said} : $error);
    }
    print "$sequence $status\n";
}
