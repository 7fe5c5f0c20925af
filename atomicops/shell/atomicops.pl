#!/usr/bin/env perl
# What atomic-write.sh and the functions of atomicops.sh do, in one process.
#
#   perl atomicops.pl [--held DESCRIPTOR LOCK]... [--trap] [--bytes N] OPERATION ARGUMENT...
#
# --held: a lock that the calling shell has, and the descriptor that it has it by ("-": not found). --trap: the call
# comes from a trap of that shell. --bytes: the length that standard input must have, so that a producer that was
# killed is not taken for one that has ended.
#
# No module is loaded on the way of a plain write, and warnings are for the tests: loading costs more than writing.

use strict;

# --- the system ------------------------------------------------------------------------------------------------------

# Calls that Perl has no function for go by number: fsync, flistxattr, fgetxattr, fsetxattr, fremovexattr,
# copy_file_range, renameat2, exit_group, and the flag O_NOFOLLOW. Source: arch/*/kernel/syscalls/*.tbl,
# include/uapi/asm-generic/unistd.h and arch/*/include/uapi/asm/fcntl.h of Linux 6.12. Where there is no number, modules
# and programs do.
my %NUMBERS = (
    x86_64 => [74, 196, 193, 190, 199, 326, 316, 231, 0400000],
    aarch64 => [82, 13, 10, 7, 16, 285, 276, 94, 0100000],
    riscv64 => [82, 13, 10, 7, 16, 285, 276, 94, 0400000],
    s390x => [118, 232, 229, 226, 235, 375, 347, 248, 0400000],
    powerpc64le => [118, 217, 214, 211, 220, 379, 357, 234, 0100000],
);
require Config;
my ($machine) = $Config::Config{archname} =~ /^(\w+)-linux(?!-gnux32)/;
my ($FSYNC, $LIST, $GET, $SET, $REMOVE, $COPY_RANGE, $RENAME2, $EXIT, $NOFOLLOW)
    = @{$NUMBERS{$machine // ""} // $NUMBERS{($machine // "") =~ s/^ppc/powerpc/r} // []};
my ($WRONLY, $RDWR, $CREAT, $EXCL, $NONBLOCK) = (1, 2, 0100, 0200, 04000);
my %E = (
    EPERM => 1, ENOENT => 2, EINTR => 4, EIO => 5, ENXIO => 6, EBADF => 9, EAGAIN => 11, EACCES => 13, EBUSY => 16, EEXIST => 17,
    ENOTDIR => 20, EISDIR => 21, EINVAL => 22, ENFILE => 23, EMFILE => 24, ETXTBSY => 26, EFBIG => 27, ENOSPC => 28,
    EROFS => 30, EMLINK => 31, ENAMETOOLONG => 36, ENOLCK => 37, ENOSYS => 38, ELOOP => 40, ENODATA => 61,
    EOPNOTSUPP => 95, EDQUOT => 122,
);
other_system() if !$FSYNC;

my ($op, $shown, $dir, $name, $lock, $is_json); # the operation; the file as given, resolved; its lock
my ($sync, $wait, $check) = ($ENV{ATOMICOPS_DURABILITY}, $ENV{ATOMICOPS_LOCK_TIMEOUT}, $ENV{ATOMICOPS_VALIDATE});
my ($tmp, $done, $helper) = ("", 0, 0); # the temp file that is there, whether it is published, a child that waits
my (%held, $trap, $bytes, $by_group); # what the calling shell has
my (@old, $cwd); # the target's status; where we came from
my $BOM = "\xef\xbb\xbf";

sub other_system { # no numbers: what modules know, and the rest is left to programs
    require Fcntl;
    require Errno;
    ($WRONLY, $RDWR, $CREAT, $EXCL, $NONBLOCK)
        = (Fcntl::O_WRONLY(), Fcntl::O_RDWR(), Fcntl::O_CREAT(), Fcntl::O_EXCL(), Fcntl::O_NONBLOCK());
    $NOFOLLOW = eval { Fcntl::O_NOFOLLOW() } // 0;
    for my $error (keys %E) { $E{$error} = Errno->can($error) ? Errno->can($error)->() : -1 }
    return;
}

# --- messages --------------------------------------------------------------------------------------------------------

my %ADVICE = ( # by what went wrong, wherever; then by the step, for what is not permitted
    ENOSPC => "free some space and try again",
    EDQUOT => "free some of your quota and try again",
    EFBIG => "raise the limit of file sizes and try again",
    EMFILE => "close some files, or raise the limit of open files",
    ENFILE => "close some files, or raise the limit of open files",
    ENAMETOOLONG => "choose a shorter name",
    ELOOP => "repair the symbolic link",
    ETXTBSY => "wait until the program has ended",
    EBUSY => "it is a mount point of its own: mount its directory instead, or append in place",
);

sub bail {
    my ($status, $why, $todo) = @_;
    discard();
    for ($shown, $why, $todo) { s/([\0-\37\177])/sprintf "\\x%02x", ord $1/ge }
    print STDERR "atomicops: $shown: $why; $todo\n";
    leave($status);
}

sub leave { # at once: Perl would first take everything apart
    my ($status) = @_;
    $| = 1;
    syscall $EXIT, $status if $EXIT;
    exit $status;
}

sub discard {
    my ($there, $gone) = ($tmp, $helper);
    $tmp = $helper = "";
    unlink $there if $there ne "";
    kill "KILL", $gone if $gone;
    return;
}

sub stopped { # by a signal: unless all is done, as if we had never been
    my ($signal) = @_;
    return if $done;
    discard();
    $SIG{$signal} = "DEFAULT";
    kill $signal, $$;
    return;
}

sub is { # whether the last error is one of these
    my $n = $! + 0;
    return scalar grep { $E{$_} == $n } @_;
}

sub fails { # fails WHAT, ADVICE: the error of a call that has left the target alone
    my ($what, $todo) = @_;
    my ($n, $why) = ($! + 0, "$what: $! (unchanged)");
    my ($known) = grep { $E{$_} == $n } keys %ADVICE;
    my $refused = is(qw(EPERM EACCES EBUSY EEXIST ENOTDIR EISDIR ETXTBSY EROFS EMLINK ENAMETOOLONG ELOOP));
    $todo = undef if !is(qw(EPERM EACCES EROFS));
    bail($refused ? 73 : 74, $why, $known ? $ADVICE{$known} : $todo // "check the disk and try again");
}

sub fails_in_directory { return fails($_[0], "make the directory " . shown_directory() . " writable") }
sub shown_directory { return $dir eq "" ? "." : $dir =~ s{(?<=.)/$}{}r }

sub again { # a call that was interrupted by a signal which we survive: true, so that it is made once more
    my ($what) = @_;
    is("EINTR") or fails($what);
    return 1;
}

sub is_no_file {
    bail(73, (-d _ ? "is a directory" : "is not a regular file") . " (unchanged)", "name a regular file");
}

# --- the file and its neighbours -------------------------------------------------------------------------------------

sub settings {
    $sync = "full" if !defined $sync || $sync eq "";
    $wait //= 30;
    $check = "yes" if !defined $check || $check eq "";
    $wait = "" if $wait eq "none";
    $sync =~ /\A(?:full|file|none)\z/ or usage("ATOMICOPS_DURABILITY=$sync", "not a durability", "use full, file or none");
    $check =~ /\A(?:yes|no)\z/ or usage("ATOMICOPS_VALIDATE=$check", "not a choice", "use yes or no");
    $wait =~ /\A(?:\d{1,9}(?:\.\d*)?|\.\d+|)\z/
        or usage("ATOMICOPS_LOCK_TIMEOUT=$wait", "not a number of seconds", "use one like 30 or 0.5, or none");
    return;
}

sub usage {
    my ($why, $todo);
    ($shown, $why, $todo) = @_;
    bail(64, $why, $todo);
}

sub resolve { # where the file really is, its symlinks followed, dangling ones too; goes to that directory
    my ($path, $make_parents) = @_;
    $shown = $path;
    usage("''", "an empty path", "name a file") if $path eq "";
    my $given = $path;
    for (my $links = 0; ; $links++) {
        ($dir, $name) = $path =~ m{\A(.*/)?([^/]*)\z}s;
        $dir //= "";
        bail(73, "is a directory (unchanged)", "name a regular file") if $name =~ /\A\.{0,2}\z/;
        my $to = readlink $path;
        last if !defined $to;
        if ($links == 40) { $! = $E{ELOOP}; fails("following it") }
        $path = $to =~ m{\A/} ? $to : "$dir$to";
    }
    $is_json = $given =~ /\.json\z/ || $name =~ /\.json\z/;
    $lock = "." . stem($name) . ".lock";
    return 1 if $dir eq "" || chdir $dir;
    return 0 if !$make_parents && is(qw(ENOENT ENOTDIR));
    fails_in_directory("the directory " . shown_directory()) if !is("ENOENT");
    make_parents();
    chdir $dir or fails_in_directory("the directory " . shown_directory());
    return 1;
}

sub stem { # what the names of a file's lock and temp files carry; short: for file systems with names of 143 bytes
    my ($file, $short) = @_;
    return "~" . substr sha256($file), 0, 16 if $short;
    return length $file <= 180 ? $file : substr($file, 0, 160) . "~" . substr sha256($file), 0, 16;
}

sub make_parents { # as mkdir -p, and durable: a new directory is an entry in its parent, so it is that which is synced
    my $path = shown_directory();
    my @missing;
    while ($path ne "" && !-d $path) {
        unshift @missing, $path;
        $path =~ s{/*[^/]+\z}{};
        $path = "/" if $path eq "" && $missing[0] =~ m{\A/};
    }
    for my $new (@missing) {
        mkdir $new or is("EEXIST") or fails_in_directory("making the directory $new");
        next if $sync ne "full";
        my $parent = $new =~ m{\A(.*/)} ? $1 : ".";
        sysopen(my $handle, $parent, 0) or fails("opening the directory $parent", "make the directory $parent readable, or choose durability file");
        fsync($handle) or no_such_sync() or fails("syncing the directory $parent");
    }
    return;
}

sub fsync {
    my ($handle) = @_;
    return syscall($FSYNC, fileno $handle) == 0 if $FSYNC;
    require IO::Handle;
    return IO::Handle::sync($handle);
}

sub no_such_sync { return is(qw(EINVAL EOPNOTSUPP ENOSYS)) } # of a directory, where the file system has none

sub slurp { # all of a handle
    my ($handle, $what, $data, $n) = (@_, "");
    while ($n = sysread($handle, $data, 1 << 20, length $data) // again($what)) { }
    return $data;
}

sub put { # all of it, from an offset: a short write is normal near a limit
    my ($data, $at) = (\$_[0], $_[1] // 0);
    while ($at < length $$data) {
        $at += syswrite(T, $$data, length($$data) - $at, $at) // (again("writing") && 0);
    }
    return;
}

sub sha256 {
    my ($data) = @_;
    return Digest::SHA::sha256_hex($data) if eval { require Digest::SHA };
    my $pid = open(my $sum, "-|") // fails("starting a process");
    if (!$pid) {
        if (!(open(STDIN, "-|") // leave(127))) { print STDOUT $data; leave(0) }
        exec { "sha256sum" } "sha256sum";
        leave(127);
    }
    my $said = slurp($sum, "reading from sha256sum");
    close $sum or bail(69, "sha256sum is missing (unchanged)", "install the package coreutils");
    return substr $said, 0, 64;
}

# --- the lock --------------------------------------------------------------------------------------------------------

sub same { return @_ > 13 && $_[0] == $_[13] && $_[1] == $_[14] } # two results of stat: one inode

sub open_lock { # no open that can block; false where it has gone meanwhile
    my ($create) = @_;
    for my $try (1 .. 20) {
        return 0 if sysopen L, $lock, $RDWR | $NOFOLLOW | $NONBLOCK;
        if (is("ENOENT")) {
            return -1 if !$create;
            return 1 if sysopen L, $lock, $RDWR | $CREAT | $EXCL | $NOFOLLOW | $NONBLOCK, 0666;
            next if is("EEXIST");
        }
        if (is("ENAMETOOLONG") && $lock !~ /\A\.~/) { $lock = "." . stem($name, 1) . ".lock"; next }
        no_lock() if is(qw(ELOOP ENXIO EISDIR));
        fails_in_directory("the lock $lock") if is("EROFS") || !-e $lock;
        fails("the lock $lock") if !is(qw(EACCES EPERM));
        return 0 if sysopen L, $lock, $NOFOLLOW | $NONBLOCK; # flock(2) needs no right to write
        select undef, undef, undef, 0.002 if $try < 20; # a lock that has just been made gets its reach in a moment
    }
    return fails("the lock $lock", "make the lock $lock readable and writable");
}

sub no_lock { bail(73, "the lock $lock is not a regular file (unchanged)", "remove $lock, which is no lock") }

sub take_lock { # the lock, or the part in it that the calling shell's with_lock gives us
    my ($create, $nowait) = @_;
    while (1) {
        my $new = open_lock($create);
        return 0 if $new < 0;
        my @ours = stat L;
        -f _ or no_lock();
        my $shell = held_by_shell(@ours);
        if (!flock L, 6) {
            if ($shell && flock $shell, 6) { # the same open file as the shell's: it has the lock, or we would not
                group_refuses() if $trap;
                $by_group = 1;
                open L, "<&", $shell or fails("the lock $lock");
            }
            elsif ($nowait) { return is(qw(EAGAIN)) ? 0 : fails("the lock $lock") }
            else { wait_for_lock(*L) }
        }
        return 1 + $new if same(@ours, lstat $lock);
    }
}

sub held_by_shell { # the shell's descriptor of this lock; none where it has none; the end where it has lost it
    my ($path) = grep { m{\A(.*/)\Q$lock\E\z}s && same(stat $1, stat ".") } keys %held;
    return if !defined $path;
    if (open my $shell, "<&=", $held{$path}) {
        return $shell if same(@_, stat $shell);
    }
    lock_lost();
}

sub lock_lost { bail(75, "its lock was removed or replaced meanwhile (unchanged)", "try again") }

sub group_refuses {
    bail(75, "a trap came while with_lock had it (unchanged)", "make the change outside the handler");
}

sub wait_for_lock { # a fair share beside others that block; the timeout needs no signal, which might be blocked
    my ($handle) = @_;
    my @late = (75, "locked by another process for more than $wait s (unchanged)",
        "try again, or allow more time for the lock");
    is("EAGAIN") or no_flock();
    if ($wait eq "") {
        until (flock $handle, 2) { is("EINTR") or no_flock() }
        return;
    }
    bail(@late) if $wait == 0;
    my $short = $wait < 0.001 ? $wait : 0.001;
    select undef, undef, undef, $short;
    return if flock $handle, 6;
    # A child waits in flock(2), on our own open file: when it gets the lock, we have it.
    pipe my $ready, my $tell or fails("making a pipe");
    defined($helper = fork) or fails("starting a process");
    if (!$helper) {
        $SIG{$_} = "DEFAULT" for qw(INT TERM HUP QUIT ALRM USR1 USR2 PIPE XCPU);
        close $ready;
        until (flock $handle, 2) { is("EINTR") or last }
        leave(0);
    }
    close $tell;
    my $ends = time + $wait + 1; # to the second; select says the rest
    my ($left, $set) = ($wait - $short, "");
    while (1) {
        vec($set, fileno $ready, 1) = 1;
        (my $n, $left) = select my $ready_now = $set, undef, undef, $left;
        last if $n >= 0 || time > $ends;
    }
    my $got = flock $handle, 6;
    my $why = $! + 0;
    kill "KILL", $helper;
    waitpid $helper, 0;
    $helper = 0;
    $! = $why;
    $got or is("EAGAIN") ? bail(@late) : no_flock();
    return;
}

sub no_flock {
    my $why = "the lock $lock: $! (unchanged)";
    bail(74, $why, is(qw(ENOLCK EOPNOTSUPP ENOSYS EINVAL))
        ? "keep the file on a file system that has flock(2)" : "check the disk and try again");
}

sub widen_lock { # it gets the reach of what it protects: who may write the file, or make it, may take its lock
    my ($new, $handle) = @_;
    my @lock = stat L;
    return if $by_group || ($> != 0 && $lock[4] != $>);
    if (@old) {
        my $mode = $old[2] & 0666;
        return if !$new && ($lock[2] & $mode) == $mode && $lock[4] == $old[4] && $lock[5] == $old[5];
        dress(*L, $handle, 0666);
    }
    elsif ($new) {
        my @directory = stat ".";
        my $mode = $lock[2] | 0600 | ($directory[2] & 02 ? 0006 : 0);
        if ($directory[2] & 020) {
            $mode |= 0060 if $lock[5] == $directory[5] || chown -1, $directory[5], *L;
        }
        chmod $mode & 0777, *L if $mode != $lock[2];
    }
    return;
}

# --- who may read and write ------------------------------------------------------------------------------------------

sub xattr { # its value, or undef with the reason in $!
    my ($handle, $attribute) = @_;
    my $room = "\0" x 65536;
    my $n = syscall $GET, fileno $handle, $attribute, $room, 65536;
    return $n < 0 ? undef : substr $room, 0, $n;
}

sub xattrs { # the names
    my ($handle) = @_;
    return () if !$LIST || syscall($LIST, fileno $handle, 0, 0) <= 0;
    my $room = "\0" x 65536;
    my $n = syscall $LIST, fileno $handle, $room, 65536;
    return $n < 0 ? fails("listing its attributes", "see to the attributes of the file") : split /\0/, substr $room, 0, $n;
}

sub set_xattr { my ($handle, $attribute, $value) = @_;
    return syscall($SET, fileno $handle, $attribute, $value, length $value, 0) == 0;
}

my $ACL = "system.posix_acl_access";

# Owner, group, ACL, mode and other attributes of the target (or of what it is restored from), for the file that takes its
# place, before that is synced. Who could read or write before still can, and nobody else. With a mask it is
# the lock that is dressed, and what is not permitted is left.
sub dress {
    my ($to, $from, $mask) = @_;
    my $for_lock = defined $mask;
    my $mode = $old[2] & ($mask // 07777);
    my @got = stat $to;
    if ($got[4] != $old[4] || $got[5] != $old[5]) {
        if (!chown $old[4], $old[5], $to) {
            chown -1, $old[5], $to if $got[5] != $old[5];
            $mode &= 01777;
        }
        @got = stat $to;
    }
    my %has = map { $_ => 1 } xattrs($from);
    my $acl = $has{$ACL} ? xattr($from, $ACL) // fails("reading its ACL", "see to the attributes of the file") : undef;
    if ($got[5] != $old[5] && (defined $acl || ($mode >> 3 & 7) != ($mode & 7))) {
        return if $for_lock;
        bail(73, "its group $old[5] cannot be kept (unchanged)", "join the group $old[5], or append in place");
    }
    if ($got[4] != $old[4] && owner_loses($mode, $acl, $got[5] == $old[5])) { $acl = acl_with_owner($mode, $acl) }
    if (defined $acl) {
        $acl = acl_of(map { [$_->[0], $_->[1] & 6, $_->[2]] } acl_entries($acl)) if $for_lock;
        if (!set_xattr($to, $ACL, $acl)) {
            return if $for_lock;
            if ($got[4] != $old[4]) {
                my $owner = getpwuid($old[4]) // $old[4];
                bail(73, "its owner $owner would be locked out (unchanged)", "put $owner into the group, or append in place");
            }
            fails("setting its ACL", "see to the attributes of the file");
        }
        my ($acl_mask) = grep { $_->[0] == 0x10 } acl_entries($acl);
        $mode = $mode & ~070 | $acl_mask->[1] << 3 if $acl_mask;
    }
    elsif (grep { $_ eq $ACL } xattrs($to)) { # a default ACL of the directory, and not the target's
        syscall($REMOVE, fileno $to, $ACL) == 0 or $for_lock or fails("removing an ACL", "see to the attributes of the file");
    }
    if (!$for_lock) {
        delete $has{$_} for $ACL, qw(security.capability security.ima security.evm user.atomicops.append); # of those bytes
        for my $attribute (sort keys %has) {
            my $value = xattr($from, $attribute);
            defined $value && set_xattr($to, $attribute, $value) or $attribute =~ /\A(?:security|trusted)\./
                or is(qw(EOPNOTSUPP ENODATA)) or fails("its attribute $attribute", "see to the attributes of the file");
        }
        attributes_by_program() if !$LIST && $^O eq "linux";
    }
    @got = stat $to;
    ($got[2] & 07777) == $mode || chmod $mode, $to or $for_lock or fails("setting its mode", "see to the attributes of the file");
    return;
}

sub attributes_by_program { # of Linux, where the numbers of the calls are not known
    my $from = @{[lstat $name]} ? $name : return;
    system({ "cp" } "cp", "--attributes-only", "--preserve=mode,ownership,xattr", "--", "./$from", "./$tmp") == 0
        or bail(74, "cp could not copy its attributes (unchanged)", "see to the attributes of the file");
    return;
}

sub owner_loses { # the owner of old, when the file becomes somebody else's
    my ($mode, $acl, $group_kept) = @_;
    my $had = $mode >> 6 & 7;
    return 0 if $old[4] == 0 || ($mode & 7 & $had) == $had && !defined $acl;
    return 1 if defined $acl || !$group_kept || ($mode >> 3 & $had) != $had;
    my ($login, $group) = (getpwuid $old[4])[0, 3];
    return 0 if defined $group && $group == $old[5];
    my $members = (getgrgid $old[5])[3] // "";
    return !(defined $login && grep { $_ eq $login } split " ", $members);
}

# POSIX ACLs: entries of tag, permission and id; the tags are 1 owner, 2 user, 4 group of the file, 8 group, 16 mask, 32 other.
# Source: include/uapi/linux/posix_acl_xattr.h.
sub acl_entries {
    my ($acl) = @_;
    my @entries = unpack "x4 (v v V)*", $acl;
    return map { [@entries[3 * $_ .. 3 * $_ + 2]] } 0 .. @entries / 3 - 1;
}

sub acl_of {
    return pack "V (a8)*", 2, map { pack "v v V", @$_ } sort { $a->[0] <=> $b->[0] || $a->[2] <=> $b->[2] } @_;
}

sub acl_with_owner { # the same for all others, and the old owner keeps what he had
    my ($mode, $acl) = @_;
    my @entries = defined $acl ? acl_entries($acl)
        : ([1, $mode >> 6 & 7, 0xffffffff], [4, $mode >> 3 & 7, 0xffffffff], [32, $mode & 7, 0xffffffff]);
    my ($mask) = map { $_->[1] } grep { $_->[0] == 16 } @entries;
    @entries = grep { $_->[0] != 16 && !($_->[0] == 2 && $_->[2] == $old[4]) } @entries;
    for my $entry (@entries) { $entry->[1] &= $mask // 7 if $entry->[0] =~ /\A[248]\z/ }
    push @entries, [2, $mode >> 6 & 7, $old[4]];
    $mask = 0;
    for my $entry (@entries) { $mask |= $entry->[1] if $entry->[0] =~ /\A[248]\z/ }
    return acl_of(@entries, [16, $mask, 0xffffffff]);
}

# --- replacing -------------------------------------------------------------------------------------------------------

sub open_target { # S and its status: refused where open(2) is; false where there is none
    my ($mode) = @_;
    my $what = $mode == 0 ? "readable" : "writable";
    @old = ();
    if (!sysopen S, $name, $mode | $NOFOLLOW | $NONBLOCK) {
        return 0 if is("ENOENT");
        my $error = $! + 0;
        is_no_file() if lstat $name && !-f _;
        $! = $error;
        return 0 if is("ENOTDIR");
        fails("opening it", "make the file $what");
    }
    @old = stat S;
    -f _ or is_no_file();
    if ($mode != 0 && $old[3] > 1) {
        bail(73, "has $old[3] hard links, and the others would keep the old content (unchanged)",
            "write each name by itself, or append in place");
    }
    return 1;
}

sub open_directory { # for its sync after the rename: what cannot be done is refused before
    return if $sync ne "full";
    sysopen D, ".", 0
        or fails("opening its directory", "make the directory " . shown_directory() . " readable, or choose durability file");
    return;
}

sub make_temp { # make_temp FILL: a finished temp file, of which nobody can read more than of the target
    my ($fill) = @_;
    sysopen R, "/dev/urandom", 0 and sysread(R, my $random, 16) == 16 or fails("/dev/urandom");
    my $end = "." . unpack("H*", $random) . ".atomicops-tmp";
    $tmp = "." . stem($name) . $end;
    my @how = ($WRONLY | $CREAT | $EXCL | $NOFOLLOW, @old ? 0600 : 0666);
    if (!sysopen T, $tmp, $how[0], $how[1]) {
        my $too_long = is("ENAMETOOLONG");
        $tmp = ""; # not ours
        fails_in_directory("creating a file in " . shown_directory()) if !$too_long;
        $tmp = "." . stem($name, 1) . $end;
        if (!sysopen T, $tmp, $how[0], $how[1]) {
            $tmp = "";
            fails_in_directory("creating a file in " . shown_directory());
        }
    }
    flock T, 6; # while it is locked, no sweeper takes it for an orphan
    $fill->();
    dress(*T, *S) if @old;
    $sync eq "none" || fsync(*T) or fails("syncing");
    return;
}

sub close_temp { # NFS reports a full quota here; a copy of the descriptor keeps the lock
    my @temp = stat T;
    same(@temp, lstat $tmp) or bail(75, "its temp file was removed or replaced meanwhile (unchanged)", "try again");
    open K, ">&", *T and close T or fails("closing");
    return @temp;
}

sub prove { # that we still have the lock, and (for what has been read) that the target is what we have read
    my ($read) = @_;
    same(stat L, lstat $lock) or lock_lost();
    return if !$read;
    my @now = lstat $name;
    return if @old ? same(@old, @now) && $old[7] == $now[7] && $old[9] == $now[9] : !@now;
    changed();
}

sub changed {
    bail(75, "was changed meanwhile by something that takes no lock (unchanged)", "try again");
}

sub replace { # replace READ, FILL
    my ($read, $fill) = @_;
    make_temp($fill);
    my @temp = close_temp();
    prove($read);
    $done = 1; # a signal after the rename comes too late
    if (!rename $tmp, $name) {
        my $error = $! + 0;
        if (!same(@temp, lstat $name)) { # over a network the answer can be lost and the deed done
            $! = $error;
            $done = 0;
            bail(73, "is a directory (unchanged)", "name a regular file") if is("EISDIR");
            fails_in_directory("renaming onto it");
        }
    }
    $tmp = "";
    $sync ne "full" || fsync(*D) || no_such_sync() || not_durable("changed");
    return;
}

sub not_durable {
    my ($what) = @_;
    bail(74, "$what, but may not survive a power loss: $!", "check the disk, and look at the file before you repeat anything");
}

# --- JSON: RFC 8259 in UTF-8, a byte order mark allowed -------------------------------------------------------------

my $DEPTH_MAX = 10_000;
my $unsure; # whether the last check could not tell

sub why_not_json { # why the text is not one JSON value; "" where it is; with $unsure, why that cannot be told
    my ($for_jq) = $_[1]; # also what jq would lose: a key given twice, a number that it rounds, half a surrogate pair
    $unsure = 0;
    my $ws = qr/[ \t\n\r]*+/;
    for ($_[0]) {
        return length ? "it holds only white space" : "it is empty" if !/[^ \t\n\r]/;
        pos = 0;
        if (/[\x80-\xff]/) { # no repetition without a limit: Perl has one of its own
            while (/\G(?:[\x00-\x7f]++|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}
                |\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}
                |\xf4[\x80-\x8f][\x80-\xbf]{2}){1,10000}+/gcx) { }
            return "not UTF-8 at byte " . pos if pos != length;
            pos = 0;
            /\G$BOM/gc;
        }
        my ($open, @keys, $deep) = "";
        my $bad = sub { sprintf "not one JSON value: at byte %d", pos };
        while (1) {
            if (/\G$ws([\[{])/gc) {
                $open .= $1;
                if (length $open > $DEPTH_MAX) { $unsure = 1; return "nested deeper than 10,000 levels" }
                push @keys, {} if $for_jq;
                if ($1 eq "[" ? !/\G$ws\]/gc : !/\G$ws\}/gc) {
                    next if $1 eq "[";
                    my $why = key($for_jq && $keys[-1]);
                    return $why eq "no" ? $bad->() : $why if $why;
                    next;
                }
                chop $open;
                pop @keys;
            }
            elsif (/\G$ws"/gc) {
                my $why = string($for_jq);
                return $why eq "no" ? $bad->() : $why if $why;
            }
            elsif (/\G$ws(?:true|false|null)/gc) { }
            elsif (/\G$ws(-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+)/gc) {
                return "it has a number that jq would round" if $for_jq && !keeps($1);
            }
            else { return $bad->() }
            while (1) { # behind a value
                if (/\G$ws,/gc && $open ne "") {
                    last if substr($open, -1) eq "[";
                    my $why = key($for_jq && $keys[-1]);
                    return $why eq "no" ? $bad->() : $why if $why;
                    last;
                }
                return /\G$ws\z/ ? "" : $bad->() if $open eq "";
                (substr($open, -1) eq "[" ? /\G$ws\]/gc : /\G$ws\}/gc) or return $bad->();
                chop $open;
                pop @keys;
            }
        }
    }
}

sub key { # of $_, with its colon
    my ($seen) = @_;
    /\G[ \t\n\r]*+"/gc or return "no";
    my $from = pos;
    my $why = string($seen);
    return $why if $why;
    if ($seen) {
        my $plain = substr $_, $from, pos() - 1 - $from;
        if (index($plain, "\\") >= 0) {
            $plain =~ s/\\(?:u(d[89ab]..)\\u(d[c-f]..)|u(....)|(.))/
                defined $1 ? utf8_of(0x10000 + ((hex($1) & 0x3ff) << 10) + (hex($2) & 0x3ff))
                : defined $3 ? utf8_of(hex $3) : {qw(b 8 f 12 n 10 r 13 t 9)}->{$4} ? chr {qw(b 8 f 12 n 10 r 13 t 9)}->{$4} : $4/gesi;
        }
        return "it has a key twice in one object" if $seen->{$plain}++;
    }
    return /\G[ \t\n\r]*+:/gc ? "" : "no";
}

sub utf8_of { my $character = chr $_[0]; utf8::encode($character); return $character }

sub string { # of $_, behind the opening quote
    my ($for_jq) = @_;
    return "" if /\G[^"\\\x00-\x1f]*+"/gc;
    my $from = pos;
    while (/\G(?:[^"\\\x00-\x1f]++|\\(?:["\\\/bfnrt]|u[0-9A-Fa-f]{4})){1,10000}+/gc) { }
    /\G"/gc or return "no";
    return "" if !$for_jq;
    my $raw = substr $_, $from, pos() - 1 - $from;
    $raw =~ s/\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|[^u])//g;
    return $raw =~ /\\u[dD][89a-fA-F]/ ? "it has half a surrogate pair, which jq would change" : "";
}

sub keeps { # whether jq 1.6 keeps the number: integers to 9006999999999999 (2^53 is a little more), else 17 digits, exponents to 289
    my ($whole, $part, $power) = $_[0] =~ /\A-?(\d+)(?:\.(\d+))?(?:[eE][+-]?0*(\d*))?\z/;
    if (!defined $part && !defined $power) { return length $whole < 16 || length $whole == 16 && $whole lt "9007" }
    return 0 if length($power // "") > 3 || ($power || 0) > 289;
    return length("$whole" . ($part // "")) <= 17 if $whole ne "0";
    return length(($part // "") =~ s/\A0+//r) <= 17 && length($part // "") < 280;
}

sub refuse { # refuse WHAT, WHY
    my ($what, $why) = @_;
    bail(65, "$what: $why (unchanged)", "write one JSON value, in UTF-8");
}

# --- operations ------------------------------------------------------------------------------------------------------

sub content { # what is to be written: all of it before the lock, for its writer may be slow, or want that lock
    my ($argument) = @_;
    return "$argument\n" if $argument ne "-";
    my $data = slurp(*STDIN, "reading standard input");
    if (defined $bytes && $bytes != length $data) {
        bail(74, "the content has not come through whole (unchanged)", "try again");
    }
    return $data;
}

sub begin { # begin FILE, MODE of opening: to its directory, with its lock; then whether it is there
    my ($mode, %how) = @_;
    open_directory();
    $how{must_exist} && !lstat $name && bail(66, "no such file", "check the name");
    my $new = take_lock(1) - 1;
    my $there = open_target($mode);
    bail(66, "no such file", "check the name") if $how{must_exist} && !$there;
    widen_lock($new, *S);
    return $there;
}

sub write_file {
    my $version = @_ == 4 && $_[0] eq "--if-version" ? (splice @_, 0, 2)[1] : undef;
    @_ == 2 or usage($op eq "script" ? "atomic-write.sh" : "atomic_write", "called with the wrong arguments",
        "[--if-version VERSION] CONTENT|- FILE");
    my ($argument, $file) = @_;
    my $text = content($argument);
    resolve($file, 1);
    if ($is_json && $check eq "yes" && (my $why = why_not_json($text))) { refuse("the content", $why) }
    my $there = begin(defined $version ? $RDWR : $WRONLY);
    if (defined $version) {
        my $found = $there ? "sha256-" . sha256(slurp(*S, "reading it")) : "absent";
        bail(76, "has version $found, not $version (unchanged)", "read it again and redo the change") if $found ne $version;
    }
    replace(defined $version, sub { put($text) });
    return 0;
}

sub append_file {
    @_ == 2 or usage("atomic_append", "called with the wrong arguments", "atomic_append TEXT|- FILE");
    my ($argument, $file) = @_;
    my $text = content($argument);
    resolve($file, 1);
    my $there = begin($RDWR);
    my $end = $there ? sound_end() : 0;
    if ($is_json && $check eq "yes") {
        $text = substr(slurp(*S, "reading it"), 0, $end) . $text if $there;
        my $why = why_not_json($text);
        refuse("the file with this added", $why) if $why;
        replace(1, sub { put($text) });
    }
    else { replace(1, sub { copy($end) if $there; put($text) }) }
    return 0;
}

sub copy { # of S, from its start: inside the kernel, and the rest, where that does not, by reading and writing
    my ($end) = @_;
    sysseek S, 0, 0;
    if ($COPY_RANGE) {
        my $n;
        do { $n = syscall $COPY_RANGE, fileno S, 0, fileno T, 0, 1 << 30, 0 } while $n > 0 || $n < 0 && is("EINTR");
    }
    while (1) {
        my $n = sysread(S, my $part, 1 << 20) // (again("reading it") && next);
        last if !$n;
        put($part);
    }
    my $size = sysseek T, 0, 1;
    truncate T, $end and sysseek T, $end, 0 or fails("cutting off a torn end") if $size > $end;
    return;
}

sub sound_end { # where the log ends, without what a killed append in place (of the Python helpers) left: that is kept
    my $mark = $GET ? xattr(*S, "user.atomicops.append") : undef;
    return $old[7] if !defined $mark || length $mark != 24;
    my ($inode, $start, $length) = unpack "Q>3", $mark;
    return $old[7] if $inode != $old[1] || $start >= $old[7] || $old[7] >= $start + $length;
    sysseek S, $start, 0;
    my $tail = slurp(*S, "reading it");
    sysseek S, 0, 0;
    keep_copy("", "corrupt", sub { put($tail) });
    return $start;
}

sub update_file {
    my $default = @_ > 3 && $_[0] eq "--default" ? (splice @_, 0, 2)[1] : undef;
    @_ >= 2 or usage("atomic_update", "called with the wrong arguments",
        "atomic_update [--default JSON] FILE FILTER [jq argument...]");
    my ($file, $filter, @jq) = @_;
    opendir $cwd, "." or undef $cwd; # for jq, and the files that its arguments name
    bail(69, "jq is missing", "install the package jq") if !grep { -x "$_/jq" } map { $_ eq "" ? "." : $_ } split /:/, $ENV{PATH} // "", -1;
    resolve($file, defined $default) or bail(66, "no such file", "check the name");
    my $there = begin($RDWR, must_exist => !defined $default);
    my $before = $there ? slurp(*S, "reading it") : $default;
    sure("the file", $before);
    my $after = by_jq($before, $there, @jq, " $filter"); # the space: not an option, even with a leading dash
    sure("the result of jq", $after);
    replace(1, sub { put($after) });
    return 0;
}

sub by_jq {
    my ($before, $there, @jq) = @_;
    if ($there) { sysseek S, $before =~ /\A$BOM/ ? 3 : 0, 0 }
    elsif (!(open(S, "-|") // fails("starting a process"))) {
        $SIG{PIPE} = "DEFAULT";
        print STDOUT $before;
        leave(0);
    }
    my $pid = open(my $jq, "-|") // fails("starting a process");
    if (!$pid) {
        $SIG{XFSZ} = "DEFAULT";
        $tmp = "";
        chdir $cwd if $cwd;
        open STDIN, "<&", *S and exec { "jq" } "jq", @jq;
        leave(127);
    }
    my $after = slurp($jq, "reading from jq");
    return $after if close $jq;
    bail(69, "jq is missing (unchanged)", "install the package jq") if $? >> 8 == 127;
    bail(74, "jq was killed by signal " . ($? & 127) . " (unchanged)", "see to the cause, then try again") if $? & 127;
    bail(65, "jq failed with status " . ($? >> 8) . " (unchanged)", "mend the filter or the file");
}

sub sure {
    my ($what, $data) = @_;
    my $why = $check eq "yes" ? why_not_json($data, 1) : "";
    return if !$why;
    bail(74, "$what could not be checked: it is $why (unchanged)", "see to the cause, then try again") if $unsure;
    bail(65, "$what: $why (unchanged)", $what eq "the file" && $why !~ /jq|twice/ ? "recover it from its newest valid backup"
        : $why =~ /number/ ? "keep such numbers as strings" : "mend the filter or the file");
}

sub read_file {
    @_ == 1 or usage("atomic_read", "called with the wrong arguments", "atomic_read FILE");
    $sync = "none";
    resolve($_[0]) && open_target(0) or bail(66, "no such file", "check the name");
    my $data = slurp(*S, "reading it");
    if ($is_json && $check eq "yes" && (my $why = why_not_json($data))) {
        bail(74, "could not be checked: it is $why", "see to the cause, then try again") if $unsure;
        bail(65, "corrupt: $why", "recover it from its newest valid backup");
    }
    return say_all($data);
}

sub say_all {
    my ($data) = @_;
    my $at = 0;
    while ($at < length $data) {
        $at += syswrite(STDOUT, $data, length($data) - $at, $at) // (is("EINTR") ? 0
            : bail(74, "printing: $!", "see to where the output goes"));
    }
    return 0;
}

sub version_of {
    @_ == 1 or usage("atomic_version", "called with the wrong arguments", "atomic_version FILE");
    $sync = "none";
    my $there = resolve($_[0]) && open_target(0);
    return say_all($there ? "sha256-" . sha256(slurp(*S, "reading it")) . "\n" : "absent\n");
}

# --- backups ---------------------------------------------------------------------------------------------------------

sub neighbours { # every name in the directory
    opendir my $handle, "." or fails("listing its directory", "make the directory " . shown_directory() . " readable");
    my @names = readdir $handle;
    return \@names;
}

# The file's copies of a kind, the last made first: name, mtime, seconds and counter of a name that we gave.
# NAME.SUFFIX.bak is not NAME's where a file with a longer name, NAME.SUFFIX or a part of it, or that file's lock, is there.
sub copies {
    my ($kind, $names) = @_;
    require Time::HiRes;
    my %there = map { $_ => 1 } @$names;
    my @found;
    for my $copy (@$names) {
        my ($suffix) = $copy =~ /\A\Q$name\E\.(.+)\.$kind\z/s or next;
        my $owner = "$name.$suffix";
        my $another = 0;
        while (length $owner > length $name) {
            $another ||= $there{$owner} || $there{"." . stem($owner) . ".lock"};
            $owner =~ s/\.[^.]*\z//;
        }
        next if $another || -l $copy || !-f $copy;
        my ($seconds, $counter) = $suffix =~ /\A(\d{10})(?:\.([1-9]\d{0,8}))?\z/a;
        push @found, [$copy, (Time::HiRes::stat($copy))[9] // next, $seconds // 0, $counter // 0];
    }
    return sort { $b->[1] <=> $a->[1] || $b->[2] <=> $a->[2] || $b->[3] <=> $a->[3] || $b->[0] cmp $a->[0] } @found;
}

sub keep_copy { # keep_copy SUFFIX, KIND, FILL: a copy under a free name, made later than all there are; returns its name
    my ($suffix, $kind, $fill) = @_;
    my @before = copies($kind, neighbours());
    make_temp($fill);
    if (@before) { # their order is that of their mtimes, whatever the clock says
        for my $step (0.00001, 1, 2, 4) {
            last if (Time::HiRes::stat(*T))[9] > $before[0][1];
            my $later = $step < 1 ? $before[0][1] + $step : int($before[0][1]) + $step;
            Time::HiRes::utime($later, $later, *T) or fails("setting its time");
        }
        $sync eq "none" || fsync(*T) or fails("syncing");
    }
    close_temp();
    prove(0);
    my $counter = 0;
    if ($suffix eq "") {
        $suffix = time;
        for my $copy (@before) {
            ($suffix, $counter) = ($copy->[2], $copy->[3] + 1)
                if $copy->[2] > $suffix || $copy->[2] == $suffix && $copy->[3] >= $counter;
        }
    }
    my $made;
    for (; ; $counter++) {
        $made = "$name.$suffix." . ($counter ? "$counter." : "") . $kind;
        last if link $tmp, $made;
        next if is("EEXIST");
        # A file system without hard links may have this; else there is no safe way.
        my $error = $! + 0;
        if ($RENAME2 && is(qw(EPERM EOPNOTSUPP ENOSYS EMLINK))) {
            last if syscall($RENAME2, -100, $tmp, -100, $made, 1) == 0;
            next if is("EEXIST");
        }
        $! = $error;
        fails_in_directory("creating $made");
    }
    discard();
    if ($sync eq "full" && !fsync(*D) && !no_such_sync()) {
        fails("the corrupt bytes cannot be kept safely") if $kind ne "bak";
        not_durable("copied to $made");
    }
    return $made;
}

sub backup_file {
    @_ == 1 || @_ == 2 or usage("atomic_backup", "called with the wrong arguments", "atomic_backup FILE [SUFFIX]");
    my ($file, $suffix) = @_;
    if (defined $suffix && $suffix =~ m{\A\z|/}) {
        usage("'$suffix'", "not a suffix for a backup", "use one that is not empty and has no slash");
    }
    resolve($file) or bail(66, "no such file", "check the name");
    begin(0, must_exist => 1);
    my $made = keep_copy($suffix // "", "bak", sub { copy($old[7]) });
    $done = 1;
    return say_all("$dir$made\n");
}

sub recover_file {
    my %how;
    my @files = grep { !/\A--(restore-missing|backup)\z/ || !++$how{$1} } @_;
    @files == 1 or usage("atomic_recover", "called with the wrong arguments", "atomic_recover FILE [--restore-missing] [--backup]");
    resolve($files[0]) or return report(66, "$shown: missing, and no valid backup");
    if (!$how{"restore-missing"} && !lstat $name) { # nothing to do, so no lock is left behind
        my ($good, @said) = newest_valid();
        return report(66, $good ? "$shown: missing" : "$shown: missing, and no valid backup", @said,
            $good ? "  newest valid backup $dir$good: not restored, because it was not asked for" : ());
    }
    my $there = begin(0);
    my $data = $there ? slurp(*S, "reading it") : "";
    my $why = $there ? why_not_json($data) : "";
    bail(74, "could not be checked: it is $why (unchanged)", "see to the cause, then try again") if $unsure;
    my @safety = $how{backup} ? (\&safety_backup) : ();
    return report(0, "$shown: valid, nothing to do", map { $_->() } @safety) if $there && !$why;
    my ($good, @said) = newest_valid();
    if (!$there) {
        return report(66, "$shown: missing, and no valid backup", @said) if !$good;
        restore($good);
        return report(0, "$shown: missing", @said, "  restored from $dir$good", map { $_->() } @safety);
    }
    my @read = @old;
    open_target($RDWR);
    changed() if !same(@read, @old) || $read[7] != $old[7] || $read[9] != $old[9];
    my $kept = "  the corrupt bytes are kept in $dir" . evidence($data);
    return report(65, "$shown: corrupt ($why), and no valid backup; left as it is", @said, $kept) if !$good;
    restore($good);
    return report(0, "$shown: was corrupt ($why)", @said, "  restored from $dir$good", $kept, map { $_->() } @safety);
}

sub report {
    my ($status, @lines) = @_;
    for (@lines) { s/([\0-\37\177])/sprintf "\\x%02x", ord $1/ge }
    $done = 1;
    say_all(join "", map { "$_\n" } @lines);
    return $status;
}

sub read_copy {
    my ($copy) = @_;
    sysopen my $handle, $copy, $NOFOLLOW | $NONBLOCK or fails("opening $copy", "make the file readable");
    return slurp($handle, "reading $copy");
}

sub newest_valid { # the name of the newest valid backup, and what is to be said of newer ones
    my @found = copies("bak", neighbours());
    my @said;
    if (@found > 1 && $found[0][1] == $found[-1][1]) {
        @said = "  all backups have one time; their order is that of the times in their names";
    }
    for my $copy (@found) {
        my $why = why_not_json(read_copy($copy->[0]));
        return $copy->[0], @said if !$why;
        bail(74, "its backup $copy->[0] could not be checked: it is $why (unchanged)", "see to the cause, then try again") if $unsure;
        push @said, "  skipped backup $dir$copy->[0]: corrupt too";
    }
    return "", @said;
}

sub evidence { # a copy of the corrupt bytes; the one there is, where an earlier run has kept the very same
    my ($data) = @_;
    for my $copy (copies("corrupt", neighbours())) {
        return $copy->[0] if -s $copy->[0] == length $data && read_copy($copy->[0]) eq $data;
    }
    return keep_copy("", "corrupt", sub { put($data) });
}

sub safety_backup {
    open_target(0);
    return "  safety backup $dir" . keep_copy("", "bak", sub { copy($old[7]) });
}

sub restore { # the target keeps its attributes; a missing one gets those of the backup
    my ($good) = @_;
    my $data = read_copy($good);
    my $missing = !@old;
    if ($missing) {
        sysopen S, $good, $NOFOLLOW | $NONBLOCK or fails("opening $good", "make the file readable");
        @old = stat S;
    }
    replace(!$missing, sub { put($data) });
    $done = 0;
    return;
}

sub sweep {
    @_ == 1 or usage("atomic_sweep", "called with the wrong arguments", "atomic_sweep DIR");
    my ($path) = @_;
    ($shown, $dir, $sync) = ($path, $path, "none");
    bail(66, "no such directory", "check the name") if !-d $path;
    chdir $path or fails("the directory $path", "make the directory " . shown_directory() . " readable");
    my $prefix = $path eq "." ? "" : $path =~ m{/\z} ? $path : "$path/";
    for my $temp (sort @{neighbours()}) {
        my ($stem) = $temp =~ /\A\.(.{1,180})\.[0-9a-f]{32}\.atomicops-tmp\z/s or next;
        next if -l $temp || !-f $temp;
        ($lock, $by_group) = (".$stem.lock", 0);
        my $state = "in use";
        if (take_lock(0, 1) || !-e $lock) {
            if (sysopen my $handle, $temp, $NOFOLLOW | $NONBLOCK) {
                if (flock $handle, 6) { # its writer, if he lived, would have it
                    same(stat $handle, lstat $temp) or next;
                    unlink $temp or is("ENOENT") or fails_in_directory("removing $temp");
                    $state = "removed";
                }
            }
            elsif (is("ENOENT")) { next }
        }
        report(0, "$state $prefix$temp");
        close L;
    }
    return 0;
}

# --- with_lock -------------------------------------------------------------------------------------------------------

sub prepare_lock { # makes the lock of a file and prints its path, for the shell to open; nothing where the shell has it
    my ($file) = @_;
    resolve($file, 1);
    my $new = open_lock(1);
    my @ours = stat L;
    -f _ or no_lock();
    if (my $shell = held_by_shell(@ours)) {
        if (!flock(L, 6) && flock $shell, 6) {
            group_refuses() if $trap;
            return 0;
        }
        flock L, 8;
    }
    @old = lstat $name;
    is_no_file() if @old && !-f _;
    if (@old) { sysopen S, $name, $NOFOLLOW | $NONBLOCK or @old = () }
    widen_lock($new, *S);
    require Cwd;
    return say_all(Cwd::getcwd() . "/$lock\n");
}

sub take_for_shell { # the lock, on the shell's own open file
    my ($descriptor, $path, $file) = @_;
    ($shown, $lock) = ($file, $path);
    open L, "<&=", $descriptor or fails("the lock $lock");
    flock L, 6 or wait_for_lock(*L);
    same(stat L, lstat $lock) or lock_lost();
    return 0;
}

sub release_for_shell { # closing is not enough: a subshell that the command left running has the same open file
    open L, "<&=", $_[0] and flock L, 8;
    return 0;
}

# --- main ------------------------------------------------------------------------------------------------------------

my @null;

sub guard_standard_descriptors { # a closed one stays as good as closed, and no file of ours becomes descriptor 0, 1 or 2
    while (sysopen my $null, "/dev/null", 0) {
        my $n = fileno $null;
        return if $n > 2;
        if ($n == 0) { close $null; sysopen $null, "/dev/null", $WRONLY or return }
        push @null, $null;
    }
    return;
}

my %OPERATION = (
    write => \&write_file, script => \&write_file, append => \&append_file, update => \&update_file, read => \&read_file,
    version => \&version_of, backup => \&backup_file, recover => \&recover_file, sweep => \&sweep, lock => \&prepare_lock,
    take => \&take_for_shell, release => \&release_for_shell, usage => \&usage,
);

while (@ARGV && $ARGV[0] =~ /\A--(held|trap|bytes)\z/) {
    shift @ARGV;
    if ($1 eq "trap") { $trap = 1 }
    elsif ($1 eq "bytes") { $bytes = shift @ARGV }
    else {
        my ($descriptor, $path) = splice @ARGV, 0, 2;
        $held{$path} = $descriptor;
    }
}
$op = shift @ARGV;
guard_standard_descriptors();
$SIG{XFSZ} = "IGNORE"; # at a file size limit the write fails, and says so
for my $signal (qw(INT TERM HUP QUIT ALRM USR1 USR2 PIPE XCPU)) {
    $SIG{$signal} = \&stopped if !defined $SIG{$signal} || $SIG{$signal} ne "IGNORE";
}
settings();
leave($OPERATION{$op}->(@ARGV));
