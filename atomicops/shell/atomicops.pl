#!/usr/bin/env perl
# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
# What atomic-write.sh and the functions of atomicops.sh do, in one process. This file replaces a file; what that seldom
# needs is in atomicops-seldom.pl, the other operations in atomicops-operations.pl. Perl loads them when a function of
# theirs is called: to compile them all takes longer than to write. So do modules, `strict` and `warnings`: the tests
# have both.
#
#   perl atomicops.pl MACHINE [--held DESCRIPTOR LOCK]... [--trap] [--whole] OPERATION ARGUMENT...
#
# MACHINE: bash's name for it. --held: a lock that the calling shell has, and the descriptor that it has it by ("-": not
# found). --trap: the call comes from a trap of that shell. --whole: standard input ends in a NUL, which is no part of
# it, so that a producer that was killed is not taken for one that has ended.

our ($op, $shown, $dir, $name, $lock, $is_json); # the operation; the file as given, and resolved; its lock
our ($sync, $wait, $check) = @ENV{qw(ATOMICOPS_DURABILITY ATOMICOPS_LOCK_TIMEOUT ATOMICOPS_VALIDATE)};
our ($tmp, $done, $helper) = ("", 0, 0); # the temp file that is there, whether it is published, a child that waits
our (%held, $trap, $whole, $by_group); # what the calling shell has
our (@old, $unsure, $cwd, $keeper); # the target's status; whether a check could not tell; kept open

# Calls that Perl has no function for go by number: fsync, flistxattr, fgetxattr, fsetxattr, fremovexattr,
# copy_file_range, renameat2, exit_group; and the flag O_NOFOLLOW. Source: arch/*/kernel/syscalls/*.tbl,
# include/uapi/asm-generic/unistd.h and arch/*/include/uapi/asm/fcntl.h of Linux 6.12. For other machines there are
# Perl's own modules.
our ($WRONLY, $RDWR, $CREAT, $EXCL, $NONBLOCK) = (1, 2, 0100, 0200, 04000);
my ($cpu, undef, $system) = split /-/, shift @ARGV;
our ($FSYNC, $LIST, $GET, $SET, $REMOVE, $COPY_RANGE, $RENAME2, $EXIT, $NOFOLLOW) = length pack("P", 0) == 8
    && ($system // "") eq "linux" ? split(/ /, {
        x86_64 => "74 196 193 190 199 326 316 231 131072",
        aarch64 => "82 13 10 7 16 285 276 94 32768",
        riscv64 => "82 13 10 7 16 285 276 94 131072",
        s390x => "118 232 229 226 235 375 347 248 131072",
        powerpc64le => "118 217 214 211 220 379 357 234 32768",
    }->{$cpu} // "") : ();
$_ += 0 for $FSYNC, $LIST, $GET, $SET, $REMOVE, $COPY_RANGE, $RENAME2, $EXIT; # syscall must not take them for texts
other_machine() if !$FSYNC;

sub AUTOLOAD {
    my $error = $! + 0;
    our $AUTOLOAD;
    for my $part ("seldom", "operations") {
        require $0 =~ s/\.pl\z/-$part.pl/r;
        last if defined &$AUTOLOAD;
    }
    defined &$AUTOLOAD or die "$AUTOLOAD: no such function\n";
    $! = $error;
    goto &$AUTOLOAD;
}

sub leave { # at once: Perl would first take everything apart
    my ($status) = @_;
    $| = 1;
    syscall $EXIT, $status if $EXIT;
    exit $status;
}

sub stopped { # by a signal: unless all is done, as if we had never been
    my ($signal) = @_;
    return if $done;
    discard();
    $SIG{$signal} = "DEFAULT";
    kill $signal, $$;
}

sub discard { # here, for a signal may come while another file is being compiled
    my ($there, $gone) = ($tmp, $helper);
    ($tmp, $helper) = ("", 0);
    $there eq "" or unlink $there or unlink $there; # for root, Perl first looks at what it unlinks: that may fail
    kill "KILL", $gone if $gone;
}

sub same { return @_ > 13 && $_[0] == $_[13] && $_[1] == $_[14] } # two results of stat: one inode

# --- what is to be written -------------------------------------------------------------------------------------------

sub content { # all of it before the lock, for its writer may be slow, or want that lock
    my ($argument) = @_; # and a name for messages
    return "$argument\n" if $argument ne "-";
    my $data = slurp(*STDIN, "reading standard input");
    !$whole || $data =~ s/\0\z// or not_whole();
    return $data;
}

sub slurp { # all of a handle
    my ($handle, $what) = @_;
    my ($data, $n) = "";
    while ($n = sysread($handle, $data, 1 << 20, length $data) // again($what)) { }
    return $data;
}

# Why the text is not one JSON value by RFC 8259, in UTF-8, perhaps behind a byte order mark; "" where it is. Where that
# cannot be told, $unsure is true. A loop: no depth of the text or of a caller, and no limit of Perl's repetitions counts.
sub why_not_json {
    my ($open, $ws) = ("", qr/[ \t\n\r]*+/);
    $unsure = 0;
    for ($_[0]) {
        pos = 0;
        if (/[\x80-\xff]/) {
            my $copy = $_; # Perl decodes more than Unicode has: surrogates, and what is above U+10FFFF
            utf8::decode($copy) && !/\xed[\xa0-\xbf]|\xf4[\x90-\xbf]|[\xf5-\xff]/ or return "it is not UTF-8";
            /\G\xef\xbb\xbf/gc;
        }
        VALUE: while (1) {
            if (/\G$ws(?:"[^"\\\x00-\x1f]*+"|-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null)/gc
                || /\G$ws"/gc && (string() || last)) { }
            elsif (/\G$ws([\[{])/gc) {
                $open .= $1;
                if (length $open > 10_000) { $unsure = 1; return "it is nested deeper than 10,000 levels" }
                if (substr($open, -1) eq "[") { /\G$ws\]/gc ? chop $open : next }
                elsif (/\G$ws\}/gc) { chop $open }
                else { key() ? next : last }
            }
            else { last }
            while ($open ne "") {
                my $array = substr($open, -1) eq "[";
                if (/\G$ws,/gc) { $array || key() ? next VALUE : last VALUE }
                ($array ? /\G$ws\]/gc : /\G$ws\}/gc) or last VALUE;
                chop $open;
            }
            return "" if /\G$ws\z/gc;
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
    $shown = $path;
    for (my $links = 0; ; $links++) {
        ($dir, $name) = $path =~ m{\A(.*/)?([^/]*)\z}s;
        $dir //= "";
        $name !~ /\A\.{0,2}\z/ or no_file_name($path);
        my $to = readlink $path;
        last if !defined $to && ($! == 22 || $! == 2 || not_followed($path)); # EINVAL: no link
        $links < 40 or too_many_links();
        $path = $to =~ m{\A/} ? $to : "$dir$to";
    }
    $is_json = $shown =~ /\.json\z/ || $name =~ /\.json\z/;
    $lock = "." . (length $name <= 180 ? $name : stem($name)) . ".lock";
    return $dir eq "" || chdir $dir || no_directory($make_parents);
}

sub begin { # begin MODE of opening, MUST EXIST: with the lock; S is the file, and @old its status. Whether it is there
    my ($mode, $must_exist) = @_;
    $sync ne "full" || sysopen D, ".", 0 or directory_unreadable();
    not_there() if $must_exist && !lstat $name;
    my $opened = sysopen L, $lock, $RDWR | $NOFOLLOW | $NONBLOCK;
    my @lock = $opened && (flock(L, 6) || lock_busy()) ? stat L : ();
    my $new = @lock && -f _ && !%held && same(@lock, lstat $lock) ? 0 : take_lock(0, !$opened);
    @lock = stat L if $new || !@lock;
    my $there = sysopen S, $name, $mode | $NOFOLLOW | $NONBLOCK;
    @old = $there ? stat S : not_opened($mode);
    !$there || @old or fails("looking at it");
    if (@old) { -f _ && ($mode == 0 || $old[3] == 1) or may_not_replace() }
    elsif ($must_exist) { missing() }
    # The lock has the reach of what it protects.
    widen_lock($new) if $new || @old && ($lock[4] != $old[4] || $lock[5] != $old[5] || ~$lock[2] & $old[2] & 0666);
    return scalar @old;
}

# --- replacing it ----------------------------------------------------------------------------------------------------

sub make_temp { # make_temp FILL: a finished temp file, of which nobody can read more than of the target
    my ($fill) = @_;
    sysopen R, "/dev/urandom", 0 and sysread(R, my $random, 16) == 16 or fails("/dev/urandom");
    my $end = "." . unpack("H*", $random) . ".atomicops-tmp";
    $tmp = "." . (length $name <= 180 ? $name : stem($name)) . $end;
    sysopen T, $tmp, $WRONLY | $CREAT | $EXCL | $NOFOLLOW, @old ? 0600 : 0666 or no_temp($end);
    flock T, 6; # while it is locked, no sweeper takes it for an orphan
    $fill->();
    if (@old) { # owner, mode and the rest before it is synced
        my @got = stat T or fails("looking at the temp file");
        if ($got[4] != $old[4] || $got[5] != $old[5] || !$LIST
            || syscall($LIST, fileno S, 0, 0) != 0 || syscall($LIST, fileno T, 0, 0) != 0) { dress(*T) }
        elsif ($got[2] != $old[2]) { chmod $old[2] & 07777, *T or mode_not_set() }
    }
    $sync eq "none" || fsync(*T) or fails("syncing");
}

sub put { # to the temp file
    my $n = syswrite T, $_[0];
    $_[0] eq "" || defined $n && $n == length $_[0] or put_rest($_[0], $n);
}

sub fsync {
    my ($handle) = @_;
    return $FSYNC ? syscall($FSYNC, fileno $handle) == 0 : fsync_by_module($handle);
}

sub close_temp { # here NFS reports a full quota; a copy of the descriptor keeps the temp file locked
    my @temp = stat T or fails("looking at the temp file");
    same(@temp, lstat $tmp) or look_again("its temp file", $tmp, @temp);
    open $keeper, ">&", *T and close T or fails("closing");
    return @temp;
}

sub prove_lock { same(stat L, lstat $lock) or look_again("its lock", $lock, stat L) }

sub replace { # replace FILL, READ: with READ, only what has been read is replaced
    my ($fill, $read) = @_;
    make_temp($fill);
    my @temp = close_temp();
    prove_lock();
    prove_unchanged() if $read;
    $done = 1; # a signal after the rename comes too late
    rename $tmp, $name or not_renamed(@temp);
    $tmp = "";
    same(@temp, lstat $name) or replaced_at_once(@temp);
    $sync ne "full" || fsync(*D) or not_durable("changed");
}

sub write_file {
    my ($version) = @_ == 4 && $_[0] eq "--if-version" ? (splice @_, 0, 2)[1] : ();
    my ($argument, $file) = @_;
    @_ == 2 && $file ne "" or wrong_arguments(@_);
    my $text = content($argument, $shown = $file);
    resolve($file, 1);
    my $why = $is_json && $check eq "yes" ? why_not_json($text) : "";
    $why eq "" or refuse("the content", $why);
    my $there = begin(defined $version ? $RDWR : $WRONLY);
    check_version($there, $version) if defined $version;
    replace(sub { put($text) }, defined $version);
    return 0;
}

# --- main ------------------------------------------------------------------------------------------------------------

sysopen my $null, "/dev/null", 0;
guard_standard_descriptors($null) if !defined fileno $null || fileno $null < 3;
while (@ARGV && $ARGV[0] =~ /\A--(\w+)\z/) {
    shift @ARGV;
    if ($1 eq "held") { %held = (%held, reverse splice @ARGV, 0, 2) }
    else { ($1 eq "trap" ? $trap : $whole) = 1 }
}
$op = shift @ARGV;
$SIG{XFSZ} = "IGNORE"; # at a file size limit the write fails, and says so
for my $signal (qw(INT TERM HUP QUIT ALRM USR1 USR2 PIPE XCPU)) {
    $SIG{$signal} = \&stopped if ($SIG{$signal} // "") ne "IGNORE";
}
if (defined $sync || defined $wait || defined $check) { settings() }
else { ($sync, $wait, $check) = ("full", 30, "yes") }
leave($op =~ /^(?:write|script)$/ ? write_file(@ARGV) : other_operation($op, @ARGV));
