#!/usr/bin/env perl
# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
# What atomic-write.sh and the functions of atomicops.sh do, in one process. This file replaces a file; what that seldom
# needs is in atomicops-seldom.pl, the other operations in atomicops-operations.pl. Perl loads them when a function of
# theirs is called: to compile them all takes longer than to write. So do modules, `strict`, `warnings` and `our`: the
# tests add strict and warnings, and what the files share has its full name.
#
#   perl atomicops.pl MACHINE [--held|--trap DESCRIPTOR LOCK]... [--whole] OPERATION ARGUMENT...
#
# MACHINE: bash's name for it. --held: a lock that the calling shell has, and the descriptor that it has it by ("-": not
# found); --trap, if a trap has come since. --whole: the content stands between two NULs of standard input, so that a
# producer that was killed is not taken for one that has ended.
#
# What the files share: $::op the operation; $::shown the file as given, $::dir and $::name as resolved, $::is_json, and
# $::lock, its lock's name; $::sync, $::wait and $::check the settings; %::held the locks of the calling shell, %::trap
# those before a trap, $::by_group whether ours is among them, $::whole as above; @::old the target's status; $::tmp the
# temp file that is there, $::done whether it is published; $::helper a child that waits; $::unsure whether a check could
# not tell; $::lenient whether failures are passed over. Handles: S the target, T the temp file, L the lock, D the
# directory, $::spare nothing.

# Calls that Perl has no function for go by number. Source: arch/*/kernel/syscalls/*.tbl,
# include/uapi/asm-generic/unistd.h and arch/*/include/uapi/asm/fcntl.h of Linux 6.12. For other machines there are
# Perl's own modules.
($::WRONLY, $::RDWR, $::CREAT, $::EXCL, $::NONBLOCK) = (1, 2, 0100, 0200, 04000);
my ($cpu, undef, $system) = split /-/, shift @ARGV;
($::NOFOLLOW, @::CALL{qw(fsync flistxattr fgetxattr fsetxattr fremovexattr copy_file_range renameat2 exit_group)})
    = map { $_ + 0 } split / /, { # syscall must not take them for texts
        x86_64 => "131072 74 196 193 190 199 326 316 231",
        aarch64 => "32768 82 13 10 7 16 285 276 94",
        riscv64 => "131072 82 13 10 7 16 285 276 94",
        s390x => "131072 118 232 229 226 235 375 347 248",
        powerpc64le => "32768 118 217 214 211 220 379 357 234",
    }->{$cpu} // "" if ($system // "") eq "linux" && length pack("P", 0) == 8;
other_machine() if !$::NOFOLLOW;

sub AUTOLOAD {
    my $error = $! + 0;
    close $::spare if (fileno $::spare // 0) > 2;
    for my $part (($::op // "") eq "read" ? qw(operations seldom) : qw(seldom operations)) {
        eval { require $0 =~ s/\.pl\z/-$part.pl/r } or last;
        last if defined &$::AUTOLOAD;
    }
    if (!defined &$::AUTOLOAD) {
        discard();
        print STDERR "atomicops: $0: its other parts: " . ($@ || $!) . "\n";
        leave(74);
    }
    $! = $error;
    goto &$::AUTOLOAD;
}

my $left;

sub leave { # at once: Perl would first take everything apart
    ($|, $left) = (1, 1);
    syscall $::CALL{exit_group}, $_[0] if %::CALL;
    exit $_[0];
}

END { # Perl leaves by itself, with 1, where it has no memory: that cannot be caught
    if (!$left) {
        discard();
        print STDERR "atomicops: " . $::shown =~ s/[\0-\37\177]/?/gr
            . ": not enough memory (unchanged); free some memory and try again\n" if $? == 1;
        $? = 74;
    }
}

sub stopped { # by a signal: unless all is done, as if we had never been
    return if $::done;
    discard();
    $SIG{$_[0]} = "DEFAULT";
    kill $_[0], $$;
}

sub discard { # here, for a signal may come while another file is being compiled
    my ($temp, $child) = ($::tmp, $::helper);
    $::tmp = $::helper = undef;
    !defined $temp or unlink $temp or unlink $temp; # for root, Perl first looks at what it unlinks: that may fail
    kill "KILL", $child if $child;
}

sub same { return @_ > 13 && $_[0] == $_[13] && $_[1] == $_[14] } # two results of stat: one inode

# --- what is to be written -------------------------------------------------------------------------------------------

sub content { # all of it before the lock, for its writer may be slow, or want that lock
    my ($argument) = @_; # and a name for messages
    return "$argument\n" if $argument ne "-";
    my $data = slurp(*STDIN, "reading standard input");
    return $data if !$::whole;
    (undef, $data, my $end) = split /\0/, $data, 3;
    defined $end or bail(74, "the content has not come through whole (unchanged)", "try again");
    return $data;
}

sub slurp { # all of a handle
    my ($handle, $what) = @_;
    my ($data, $n) = "";
    while ($n = sysread($handle, $data, 1 << 20, length $data) // again($what)) { }
    return $data;
}

# Why the text is not one JSON value by RFC 8259, in UTF-8, perhaps behind a byte order mark; "" where it is. Where that
# cannot be told, $::unsure is true. A loop: no depth of text or caller, and no limit of Perl's repetitions counts.
sub why_not_json {
    my $open = "";
    $::unsure = 0;
    for ($_[0]) {
        pos = 0;
        if (/[\x80-\xff]/) {
            my $copy = $_; # Perl decodes more than Unicode has: surrogates, and what is above U+10FFFF
            utf8::decode($copy) && !/\xed[\xa0-\xbf]|\xf4[\x90-\xbf]|[\xf5-\xff]/ or return "it is not UTF-8";
            /\G\xef\xbb\xbf/gc;
        }
        VALUE: while (1) {
            /\G[ \t\n\r]++/gc;
            if (/\G(?:"[^"\\\x00-\x1f]*+"|-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null)/gc
                || /\G"/gc && (string() || last)) { }
            elsif (/\G([\[{])/gc) {
                $open .= $1;
                if (length $open > 10_000) { $::unsure = 1; return "it is nested deeper than 10,000 levels" }
                my $is_array = $1 eq "[";
                /\G[ \t\n\r]++/gc;
                if ($is_array) { /\G\]/gc ? chop $open : next }
                elsif (/\G\}/gc) { chop $open }
                else { key() ? next : last }
            }
            else { last }
            while ($open ne "") {
                my $array = substr($open, -1) eq "[";
                /\G[ \t\n\r]++/gc;
                if (/\G,/gc) { $array || key() ? next VALUE : last VALUE }
                ($array ? /\G\]/gc : /\G\}/gc) or last VALUE;
                chop $open;
            }
            return "" if /\G[ \t\n\r]*+\z/gc;
            last;
        }
        return sprintf "it is not one JSON value (at byte %d)", pos // 0 if /[^ \t\n\r]/;
        return length() ? "it holds only white space" : "it is empty";
    }
}

sub string { # the rest of it, behind the opening quote
    while (/\G(?:[^"\\\x00-\x1f]++|\\(?:["\\\/bfnrt]|u[0-9A-Fa-f]{4})){1,10000}+/gc) { }
    return /\G"/gc;
}

sub key { # with its colon
    return /\G[ \t\n\r]*+"/gc && string() && /\G[ \t\n\r]*+:/gc;
}

# --- the file, its directory and its lock ----------------------------------------------------------------------------

sub resolve { # where the file really is; goes there. False where there is no such directory, and none is to be made
    my ($path, $make_parents) = @_;
    $::shown = $path;
    my $to = readlink $path;
    $path = linked_to($path, $to) if defined $to || $! != 22; # EINVAL: no link
    ($::dir, $::name) = $path =~ m{\A(.*/)?([^/]*)\z}s;
    $::dir //= "";
    $::name !~ /\A\.{0,2}\z/ or no_file_name($path);
    $::is_json = $::shown =~ /\.json\z/ || $::name =~ /\.json\z/;
    $::lock = "." . (length $::name <= 180 ? $::name : stem($::name)) . ".lock";
    return $::dir eq "" || chdir $::dir || no_directory($make_parents);
}

sub begin { # begin MODE of opening, MUST EXIST: with the lock, S is the file, and @::old its status; whether it exists
    my ($mode, $must_exist) = @_;
    $::sync ne "full" || sysopen D, ".", 0 or directory_unreadable();
    not_there() if $must_exist && !lstat $::name;
    refuse_own_name() if $::name =~ /\A\./;
    my $opened = sysopen L, $::lock, $::RDWR | $::NOFOLLOW | $::NONBLOCK;
    my @lock = $opened && (flock(L, 6) || lock_busy()) ? stat L : ();
    my $new = @lock && -f _ && !%::held && same(@lock, lstat $::lock) ? 0 : take_lock(0, !$opened);
    give_lock_its_reach($new) if $new;
    @lock = stat L if $new || !@lock;
    my $there = sysopen S, $::name, $mode | $::NOFOLLOW | $::NONBLOCK;
    @::old = !$there ? not_opened($mode) : $mode == $::WRONLY ? stat S : exactly(*S);
    !$there || @::old or fails("looking at it");
    if (@::old) {
        -f _ or is_no_file();
        widen_lock() if less_reach(@lock); # the lock has the reach of what it protects
        $mode == 0 || $::old[3] == 1 or may_not_replace();
    }
    elsif ($must_exist) { missing() }
    return scalar @::old;
}

sub less_reach { # whether a lock of this status may have less reach than the target
    return $_[4] != $::old[4] || $_[5] != $::old[5] || ~$_[2] & lock_bits($::old[2]);
}

sub lock_bits { return ($_[0] | ($_[0] & 0222) << 1) & 0666 | 0600 } # who writes can open it, and who may chmod(2)

# --- replacing it ----------------------------------------------------------------------------------------------------

sub make_temp { # make_temp FILL: a finished temp file, of which nobody can read more than of the target
    my ($fill) = @_;
    sysopen R, "/dev/urandom", 0 and sysread(R, my $random, 16) == 16 or fails("/dev/urandom");
    my $end = "." . unpack("H*", $random) . ".atomicops-tmp";
    $::tmp = "." . (length $::name <= 180 ? $::name : stem($::name)) . $end;
    sysopen T, $::tmp, $::WRONLY | $::CREAT | $::EXCL | $::NOFOLLOW, @::old ? 0600 : 0666 or no_temp($end);
    flock T, 6; # while it is locked, no sweeper takes it for an orphan
    $fill->();
    if (@::old) { # owner, mode and the rest before it is synced
        my @got = stat T or fails("looking at the temp file");
        if ($got[4] != $::old[4] || $got[5] != $::old[5] || !%::CALL
            || grep { syscall($::CALL{flistxattr}, fileno $_, 0, 0) != 0 } *S, *T) { dress(*T) }
        elsif ($got[2] != $::old[2]) { chmod $::old[2] & 07777, *T or mode_not_set() }
    }
    $::sync eq "none" || fsync(*T) or fails("syncing");
}

sub put { # to the temp file
    my $n = syswrite T, $_[0];
    defined $n && $n == length $_[0] or put_rest($_[0], $n);
}

sub fsync {
    my ($handle) = @_;
    return $::CALL{fsync} ? syscall($::CALL{fsync}, fileno $handle) == 0 : fsync_by_module($handle);
}

my $keeper;

sub close_temp { # here NFS reports a full quota; a copy of the descriptor keeps the temp file locked
    my @temp = stat T or fails("looking at the temp file");
    same(@temp, lstat $::tmp) or look_again("its temp file", $::tmp, @temp);
    open $keeper, ">&", *T and close T or fails("closing");
    return @temp;
}

sub prove_lock { same(stat L, lstat $::lock) or look_again("its lock", $::lock, stat L) }

sub replace { # replace FILL, READ: with READ, a status or none in an array, only what has that is replaced
    my ($fill, $read) = @_;
    make_temp($fill);
    my @temp = close_temp();
    close S; # ext4 replaces an open file by way of its list of orphans: twice the time
    prove_lock();
    prove_unchanged(@$read) if $read;
    $::done = 1; # a signal after the rename comes too late
    rename $::tmp, $::name or not_renamed(@temp);
    $::tmp = undef;
    same(@temp, lstat $::name) or replaced_at_once(@temp);
    $::sync ne "full" || fsync(*D) or not_durable("changed");
}

sub write_file {
    my ($version) = @_ == 4 && $_[0] eq "--if-version" ? (splice @_, 0, 2)[1] : ();
    my ($argument, $file) = @_;
    @_ == 2 or wrong_arguments();
    my $text = content($argument, $::shown = $file);
    my $is_there = resolve($file);
    my $why = $::is_json && $::check eq "yes" ? why_not_json($text) : "";
    $why eq "" or refuse("the content", $why);
    $is_there or resolve($file, 1);
    my $there = begin(defined $version ? $::RDWR : $::WRONLY);
    check_version($there, $version) if defined $version;
    replace(sub { put($text) }, defined $version ? \@::old : undef);
    return 0;
}

# --- main ------------------------------------------------------------------------------------------------------------

sysopen $::spare, "/dev/null", 0; # closed where the other parts are read: there may be no other descriptor
guard_standard_descriptors() if !defined fileno $::spare || fileno $::spare < 3;
%::held = held_by_caller() if $ARGV[0] =~ /\A--(?:held|trap)\z/;
$::whole = $ARGV[0] eq "--whole" && shift @ARGV;
$::op = shift @ARGV;
$SIG{XFSZ} = "IGNORE"; # at a file size limit the write fails, and says so
for my $signal (qw(INT TERM HUP QUIT ALRM USR1 USR2 PIPE XCPU)) {
    $SIG{$signal} = \&stopped if ($SIG{$signal} // "") ne "IGNORE";
}
$::sync = $ENV{ATOMICOPS_DURABILITY} // "full";
$::check = $ENV{ATOMICOPS_VALIDATE} // "yes";
$::wait = $ENV{ATOMICOPS_LOCK_TIMEOUT} // 30; # seconds
"$::sync $::check $::wait" =~ /\A(?:full|file|none) (?:yes|no) \d{1,9}(?:\.\d*)?\z/ or settings();
leave($::op =~ /^(?:write|script)$/ ? write_file(@ARGV) : other_operation(@ARGV));
