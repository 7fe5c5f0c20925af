# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
# What replacing a file seldom needs: see atomicops.pl. Errors and their messages, a lock that has to be made or waited
# for, owners, ACLs and attributes that differ, closed descriptors, other machines.

%::E = (
    EPERM => 1, ENOENT => 2, EINTR => 4, EIO => 5, ENXIO => 6, EBADF => 9, EAGAIN => 11, EACCES => 13, EBUSY => 16,
    EEXIST => 17, ENOTDIR => 20, EISDIR => 21, EINVAL => 22, ENFILE => 23, EMFILE => 24, ETXTBSY => 26, EFBIG => 27,
    ENOSPC => 28, EROFS => 30, EMLINK => 31, ENAMETOOLONG => 36, ENOLCK => 37, ENOSYS => 38, ELOOP => 40, ENODATA => 61,
    EOPNOTSUPP => 95, EDQUOT => 122,
);

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
    ENOTDIR => "choose another directory",
    EBUSY => "it is a mount point of its own: mount its directory instead, or append in place",
);

sub bail {
    my ($status, $why, $todo) = @_;
    die if $::lenient;
    discard();
    print STDERR "atomicops: " . printable("$::shown: $why; $todo") . "\n"; # in one piece, among those of others
    leave($status);
}

sub printable { return $_[0] =~ s/([\0-\37\177])/sprintf "\\x%02x", ord $1/ger }

sub is { # whether the last error is one of these
    my $n = $! + 0;
    return scalar grep { $::E{$_} == $n } @_;
}

sub fails { # fails WHAT, ADVICE: the error of a call that has left the target alone
    my ($what, $todo) = @_;
    my $why = "$what: $! (unchanged)";
    my $refused = $what ne "reading standard input"
        && is(qw(EPERM EACCES EBUSY EEXIST ENOTDIR EISDIR ETXTBSY EROFS EMLINK ENAMETOOLONG ELOOP));
    $todo = undef if !is(qw(EPERM EACCES EROFS));
    bail($refused ? 73 : 74, $why, advice($todo));
}

sub advice { # by the last error; the one that is given, where that says too little
    my ($known) = grep { is($_) } keys %ADVICE;
    return $known ? $ADVICE{$known} : $_[0] // "check the disk and try again";
}

sub shown_directory { return $::dir eq "" ? "." : $::dir =~ s{(?<=.)/$}{}r }
sub not_writable { # not_writable WHAT, NAME: the directory; the name is what would have been replaced or deleted in it
    my ($what, $name) = @_;
    my $where = "the directory " . shown_directory();
    not_permitted($what, "make $where writable", ".", $where, $name);
}

sub not_permitted { # not_permitted WHAT, ADVICE, PATH, SHOWN, NAME: where no mode says why, something else does
    my ($what, $todo, $path, $shown, $name) = @_;
    my $error = $! + 0;
    $todo = to_clear($path, $shown) // kept_for($name, $shown) // $todo if is("EPERM");
    $! = $error;
    fails($what, $todo);
}

sub to_clear { # the attribute that forbids to change it, of chattr(1); see ioctl_iflags(2)
    my ($path, $shown) = @_;
    my ($handle, $flags) = (undef, pack "l!", 0);
    my $get_flags = 2 << 30 | length($flags) << 16 | ord("f") << 8 | 1; # other machines number it otherwise
    sysopen $handle, $path, $::NOFOLLOW | $::NONBLOCK and ioctl $handle, $get_flags, $flags or return;
    my $set = unpack "i", $flags;
    my $why = $set & 0x10 ? "immutable (chattr -i)" : $set & 0x20 ? "append-only (chattr -a)" : return;
    return "make $shown changeable, for it is $why";
}

sub kept_for { # whom a sticky directory keeps this name for
    my ($name, $shown) = @_;
    my ($sticky, $owner) = ((stat ".")[2] & 01000, defined $name ? (lstat $name)[4] : undef);
    return if !$sticky || !defined $owner || $> == 0 || $> == $owner;
    return "leave $name to its owner " . (getpwuid($owner) // $owner) . ", for $shown is sticky";
}

sub not_readable { fails($_[0], "make the directory " . shown_directory() . " readable" . ($_[1] // "")) }
sub directory_unreadable { not_readable("opening its directory", ", or choose durability file") }
sub attributes_fail { fails($_[0], "see to the attributes of the file") }
sub mode_not_set { attributes_fail("setting its mode") }
sub no_such_sync { return is(qw(EINVAL EOPNOTSUPP ENOSYS)) } # of a directory, where the file system has none
sub missing { bail(66, "no such file", "check the name") }
sub lost { bail(75, "$_[0] was removed or replaced meanwhile (unchanged)", "try again") }
sub changed { bail(75, "was changed meanwhile by something that takes no lock (unchanged)", "try again") }
sub refuse { bail(65, "$_[0]: $_[1] (unchanged)", "write one JSON value, in UTF-8") }
sub no_lock { bail(73, "the lock $::lock is not a regular file (unchanged)", "remove $::lock, which is no lock") }

sub unsure { # of WHAT, and WHY
    bail(74, "$_[0] could not be checked: $_[1] (unchanged)", "see to the cause, then try again");
}

sub is_no_file { # what was looked at last
    bail(73, (-d _ ? "is a directory" : "is not a regular file") . " (unchanged)", "name a regular file");
}

sub not_durable { # DONE
    return if no_such_sync();
    bail(74, "$_[0], but may not survive a power loss: $!",
        "check the disk, and look at the file before you repeat anything");
}

sub again { # a call that was interrupted by a signal which we survive: true, so that it is made once more
    my ($what) = @_;
    is("EINTR") or fails($what);
    return 1;
}

# --- settings and arguments ------------------------------------------------------------------------------------------

sub settings { # other than the usual ones
    $::sync = "full" if $::sync eq "";
    $::check = "yes" if $::check eq "";
    $::wait = "" if $::wait eq "none";
    $::sync =~ /\A(?:full|file|none)\z/
        or usage("ATOMICOPS_DURABILITY=$::sync", "not a durability", "use full, file or none");
    $::check =~ /\A(?:yes|no)\z/ or usage("ATOMICOPS_VALIDATE=$::check", "not a choice", "use yes or no");
    $::wait =~ /\A(?:\d{1,9}(?:\.\d*)?|\.\d+|)\z/
        or usage("ATOMICOPS_LOCK_TIMEOUT=$::wait", "not a number of seconds", "use one like 30 or 0.5, or none");
}

sub usage { # WHAT, WHY, ADVICE
    ($::shown, my @said) = @_;
    bail(64, @said);
}

sub wrong_arguments {
    usage($::op eq "script" ? "atomic-write.sh" : "atomic_write", "called with the wrong arguments",
        "[--if-version VERSION] CONTENT|- FILE");
}

sub held_by_caller { # the shell's locks, and its descriptors of them
    my @held;
    while ($ARGV[0] =~ /\A--(?:held|trap)\z/) {
        my ($how, $descriptor, $path) = splice @ARGV, 0, 3;
        push @held, $path, $descriptor;
        $::trap{$path} = 1 if $how eq "--trap";
    }
    return @held;
}

my @null;

sub guard_standard_descriptors { # a closed one stays as good as closed: no file of ours becomes descriptor 0, 1 or 2
    while (defined fileno $::spare && fileno $::spare < 3) {
        if (fileno $::spare == 0) { close $::spare; sysopen $::spare, "/dev/null", $::WRONLY }
        push @null, $::spare;
        sysopen my $next, "/dev/null", 0;
        $::spare = $next;
    }
}

sub other_machine { # no numbers: modules, and programs
    %::CALL = ();
    require Errno;
    $::E{$_} = Errno->can($_) ? Errno->can($_)->() : -1 for keys %::E;
    require Fcntl;
    ($::WRONLY, $::RDWR, $::CREAT, $::EXCL, $::NONBLOCK)
        = (Fcntl::O_WRONLY(), Fcntl::O_RDWR(), Fcntl::O_CREAT(), Fcntl::O_EXCL(), Fcntl::O_NONBLOCK());
    $::NOFOLLOW = eval { Fcntl::O_NOFOLLOW() } // 0;
}

sub fsync_by_module {
    require IO::Handle;
    return IO::Handle::sync($_[0]);
}

# --- the file and its directory --------------------------------------------------------------------------------------

sub no_file_name {
    my ($path) = @_;
    usage("''", "an empty path", "name a file") if $path eq "";
    bail(73, "is a directory (unchanged)", "name a regular file");
}

sub linked_to { # where the last symlink of a path leads; TO: where its first does
    my ($path, $to) = @_;
    for (0 .. 40) {
        return $path if !defined $to && (is("EINVAL") || is("ENOENT") && has_a_name($path) || not_followed($path));
        $path = $to =~ m{\A/} || $path !~ m{\A(.*/)}s ? $to : "$1$to";
        $to = readlink $path;
    }
    $! = $::E{ELOOP};
    fails("following it");
}

sub has_a_name { # a link of /proc leads to a pipe, or to a file that was deleted, and not to this name
    my ($path) = @_;
    local $^W = 0; # of names that end in a newline
    return 1 if !stat $::shown or lstat $path; # somebody may have made it meanwhile
    stat $::shown && -f _ or is_no_file();
    bail(73, "is a file without a name, for it was deleted (unchanged)", "name a regular file");
}

sub no_directory {
    my ($make_parents) = @_;
    return 0 if !$make_parents && is(qw(ENOENT ENOTDIR));
    if (is("ENOENT")) {
        make_parents();
        return 1 if chdir $::dir;
    }
    is("ENOENT") ? missing() : not_writable("the directory " . shown_directory());
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
        mkdir $new or is("EEXIST") or is("ENOENT") ? missing() : not_writable("making the directory $new");
        next if $::sync ne "full";
        my $parent = $new =~ m{\A(.*/)} ? $1 : ".";
        sysopen my $handle, $parent, 0
            or fails("opening the directory $parent", "make the directory $parent readable, or choose durability file");
        fsync($handle) or no_such_sync() or fails("syncing the directory $parent");
    }
}

sub stem { # what the names of a file's lock and temp files carry; short: for file systems with names of 143 bytes
    my ($file, $short) = @_;
    return "~" . substr sha256($file), 0, 16 if $short;
    return length $file <= 180 ? $file : substr($file, 0, 160) . "~" . substr sha256($file), 0, 16;
}

sub sha256 {
    my ($data) = @_;
    return Digest::SHA::sha256_hex($data) if eval { require Digest::SHA };
    my $pid = open(my $sum, "-|") // fails("starting a process");
    if (!$pid) {
        if (!(open(STDIN, "-|") // leave(127))) { print STDOUT $data; leave(0) }
        exec { "sha256sum" } "sha256sum" or leave(127);
    }
    my $said = slurp($sum, "reading from sha256sum");
    close $sum or $? >> 8 == 127 ? bail(69, "sha256sum is missing (unchanged)", "install the package coreutils")
        : bail(74, "sha256sum failed (unchanged)", "try again");
    return substr $said, 0, 64;
}

sub not_there { # absence is no other error of looking
    is(qw(ENOENT ENOTDIR)) or fails("looking at it");
    return missing();
}

sub not_followed { # what keeps us from looking at all is met again, with a better message
    my ($path) = @_;
    my $error = $! + 0;
    return 1 if !lstat $path || !-l _;
    $! = $error;
    fails("following it");
}

sub not_opened { # what open(2) refuses, we refuse; an empty list where there is no file
    my ($mode) = @_;
    return () if is("ENOENT");
    my $error = $! + 0;
    is_no_file() if lstat $::name && !-f _;
    $! = $error;
    not_permitted("opening it", "make the file " . ($mode == 0 ? "readable" : "writable"), $::name, "it");
}

sub look { # without a warning of Perl's about names that end in a newline
    local $^W = 0;
    return lstat $_[0];
}

sub may_not_replace {
    bail(73, "has $::old[3] hard links, and the others would keep the old content (unchanged)",
        "write each name by itself, or append in place");
}

sub check_version {
    my ($there, $version) = @_;
    my $found = $there ? "sha256-" . sha256(slurp(*S, "reading it")) : "absent";
    $found eq $version
        or bail(76, "has version $found, not $version (unchanged)", "read it again and redo the change");
}

sub no_temp {
    my ($end) = @_;
    my $error = $! + 0;
    is("EEXIST") or discard(); # it may have been made all the same: Perl looks at what it has opened
    ($!, $::tmp) = ($error, undef);
    if (is("ENAMETOOLONG")) {
        $::tmp = "." . stem($::name, 1) . $end;
        return if sysopen T, $::tmp, $::WRONLY | $::CREAT | $::EXCL | $::NOFOLLOW, @::old ? 0600 : 0666;
        $::tmp = undef;
    }
    not_writable("creating a file in " . shown_directory());
}

sub put_rest { # a short write is normal near a limit
    my $at = $_[1] // (again("writing") && 0);
    while ($at < length $_[0]) {
        $at += syswrite(T, $_[0], length($_[0]) - $at, $at) // (again("writing") && 0);
    }
}

sub look_again { # the first look may have failed
    my ($what, $path, @ours) = @_;
    my @there = lstat $path;
    @there || is("ENOENT") or fails("looking at $what");
    same(@ours, @there) or lost($what);
}

sub exactly { # the status of a handle, or of a name, with times to the fraction of a second where Perl has what tells it
    my ($what) = @_;
    local $^W = 0;
    if (ref \$what eq "GLOB") { return eval { require Time::HiRes } ? Time::HiRes::stat($what) : stat $what }
    return eval { require Time::HiRes } ? Time::HiRes::lstat($what) : lstat $what;
}

sub refuse_own_name { # a sweep deletes a temp file, and a lock must not be replaced
    my $why = defined stem_of_temp($::name) ? "has the name of a temp file, which a sweep deletes"
        : $::name =~ /\A\.(.+)\.lock\z/s && look($1) && -f _ ? "is the lock of $1" : return;
    bail(73, "$why (unchanged)", "choose another name");
}

sub stem_of_temp { return $_[0] =~ /\A\.(.{1,180})\.[0-9a-f]{32}\.atomicops-tmp\z/s ? $1 : undef }

sub prove_unchanged { # that the target has the status that we have read, or is still missing
    my @read = @_;
    my @now = exactly($::name);
    @now || is("ENOENT") or fails("looking at it");
    (@read ? same(@read, @now) && $read[7] == $now[7] && $read[9] == $now[9] : !@now) or changed();
}

sub not_renamed {
    my (@temp) = @_;
    my $error = $! + 0;
    return if same(@temp, lstat $::name); # over a network the answer can be lost and the deed done
    $! = $error;
    $::done = 0;
    bail(73, "is a directory (unchanged)", "name a regular file") if is("EISDIR");
    not_writable("renaming onto it", $::name);
}

sub replaced_at_once { # where it cannot be looked at, rename(2) is right
    my @now = lstat $::name;
    return if same(@_, @now) || !@now && !is("ENOENT");
    bail(74, "renamed onto it, but then it was another file: something that takes no lock has replaced it",
        "check the disk, and look at the file before you repeat anything");
}

# --- the lock --------------------------------------------------------------------------------------------------------

sub held_by_shell { # the shell's descriptor of this lock, and whether a trap has come since; the end where it has lost it
    my ($path) = grep { m{\A(.*/)\Q$::lock\E\z}s && same(stat $1, stat ".") } keys %::held;
    return if !defined $path;
    if ($::held{$path} ne "-" && open my $shell, "<&=", $::held{$path}) {
        return ($shell, $::trap{$path}) if same(@_, stat $shell);
    }
    lost("its lock");
}

sub group_refuses {
    bail(75, "a trap came while with_lock had it (unchanged)", "make the change outside the handler");
}

sub wait_for_lock { # a fair share beside others that block; the timeout needs no signal, which might be blocked
    my ($handle) = @_;
    my @late = (75, "locked by another process for more than $::wait s (unchanged)",
        "try again, or allow more time for the lock");
    is("EAGAIN") or no_flock();
    if ($::wait eq "") {
        until (flock $handle, 2) { is("EINTR") or no_flock() }
        return;
    }
    bail(@late) if $::wait == 0;
    my $short = $::wait < 0.001 ? $::wait : 0.001;
    select undef, undef, undef, $short;
    return if flock $handle, 6;
    # A child waits in flock(2), on our own open file: when it gets the lock, we have it.
    pipe my $ready, my $tell or fails("making a pipe");
    defined($::helper = fork) or fails("starting a process");
    if (!$::helper) {
        close $ready;
        until (flock $handle, 2) { is("EINTR") or last }
        leave(0);
    }
    close $tell;
    my ($ends, $left, $n) = (time + $::wait + 1, $::wait - $short, -1); # to the second; select says the rest
    vec(my $set, fileno $ready, 1) = 1;
    while ($n < 0 && time <= $ends) { ($n, $left) = select my $ended = $set, undef, undef, $left }
    my $got = flock $handle, 6;
    my $why = $! + 0;
    kill "KILL", $::helper;
    waitpid $::helper, 0;
    ($::helper, $!) = (undef, $why);
    $got or is("EAGAIN") ? bail(@late) : no_flock();
}

sub lock_busy { return is("EAGAIN") ? 0 : no_flock() }

sub no_flock {
    is(qw(ENOLCK EOPNOTSUPP ENOSYS EINVAL)) or fails("the lock $::lock");
    bail(74, "the lock $::lock: $! (unchanged)", "keep the file on a file system that has flock(2)");
}

sub widen_lock { # who may write the file, or make it, may take its lock
    my ($new) = @_;
    my @lock = stat L;
    return if $::by_group || ($> != 0 && $lock[4] != $>);
    if (@::old) {
        local $::lenient = 1; # what is not permitted is left
        eval { dress(*L, 1); 1 } or chmod 0666, *L if $new || less_reach(@lock); # nobody may be locked out
    }
    elsif ($new) {
        my @directory = stat ".";
        my $mode = $lock[2] & 0777 | 0600 | ($directory[2] & 02 ? 0066 : 0);
        if ($directory[2] & 020) {
            $mode |= 0060 if $lock[5] == $directory[5] || chown -1, $directory[5], *L;
        }
        chmod $mode, *L if $mode != ($lock[2] & 0777);
    }
}

sub give_lock_its_reach { # before anything is refused: it may stay
    my ($new) = @_;
    local $^W = 0; # of names that end in a newline
    @::old = look($::name);
    is_no_file() if @::old && !-f _;
    my $how = $::NOFOLLOW | $::NONBLOCK;
    @::old && (sysopen S, $::name, $how or sysopen S, $::name, $how | $::WRONLY)
        or @::old && chmod 0666, *L and return @::old = (); # its ACL is not to be had: nobody may be locked out
    widen_lock($new);
}

sub open_lock { # no open that can block; false where it has gone meanwhile
    my ($create, $failed) = @_; # FAILED: the first try, with the reason in $!
    for my $try (1 .. 20) {
        return 0 if !$failed && sysopen L, $::lock, $::RDWR | $::NOFOLLOW | $::NONBLOCK;
        $failed = 0;
        if (is("ENOENT")) {
            return -1 if !$create;
            look($::name) ? -f _ || is_no_file() : is("ENAMETOOLONG") && fails("looking at it"); # and no lock is left
            return 1 if sysopen L, $::lock, $::RDWR | $::CREAT | $::EXCL | $::NOFOLLOW | $::NONBLOCK, 0666;
            is("EEXIST") ? next : is("ENOENT") ? missing() : not_writable("the lock $::lock"); # deleted meanwhile
        }
        if (is("ENAMETOOLONG") && $::lock !~ /\A\.~/) { $::lock = "." . stem($::name, 1) . ".lock"; next }
        no_lock() if is(qw(ELOOP ENXIO EISDIR));
        not_writable("the lock $::lock") if is("EROFS");
        fails("the lock $::lock") if !is(qw(EACCES EPERM));
        return 0 if sysopen L, $::lock, $::NOFOLLOW | $::NONBLOCK; # flock(2) needs no right to write
        select undef, undef, undef, 0.002 if $try < 20; # a lock that has just been made gets its reach in a moment
    }
    fails("the lock $::lock", "make the lock $::lock readable and writable");
}

sub take_lock { # all the ways to have it; true where it has just been made, or, with NOWAIT, where it is to be had
    my ($nowait, $failed) = @_;
    for (1 .. 100) {
        my $new = open_lock(!$nowait, $failed);
        $failed = 0;
        return 0 if $new < 0;
        my @ours = stat L or fails("looking at the lock $::lock");
        -f _ or no_lock();
        my ($shell, $in_trap) = held_by_shell(@ours);
        if (!flock L, 6) {
            if ($shell && flock $shell, 6) { # the same open file as the shell's: it has the lock, or we would not
                group_refuses() if $in_trap;
                $::by_group = 1;
                open L, "<&", $shell or fails("the lock $::lock");
            }
            elsif ($nowait) { return is("EAGAIN") ? 0 : no_flock() }
            else { wait_for_lock(*L) }
        }
        return $nowait ? 1 : $new if same(@ours, lstat $::lock);
    }
    return lost("its lock");
}

# --- who may read and write ------------------------------------------------------------------------------------------

sub xattr { # its value, or undef with the reason in $!
    my ($handle, $attribute) = @_;
    my $room = "\0" x 65536;
    my $n = syscall $::CALL{fgetxattr}, fileno $handle, $attribute, $room, 65536;
    return $n < 0 ? undef : substr $room, 0, $n;
}

sub xattrs { # the names; none where the file system has none
    my ($handle) = @_;
    return () if !%::CALL;
    my $room = "\0" x 65536;
    my $n = syscall $::CALL{flistxattr}, fileno $handle, $room, 65536;
    return split /\0/, substr $room, 0, $n if $n >= 0;
    return () if is(qw(EOPNOTSUPP ENOSYS));
    return attributes_fail("listing its attributes");
}

sub set_xattr { return syscall($::CALL{fsetxattr}, fileno $_[0], $_[1], $_[2], length $_[2], 0) == 0 }

my $ACL = "system.posix_acl_access";

# Owner, group, ACL, mode and other attributes of the target (or of what it is restored from), for the file that takes
# its place, before that is synced. Who could read or write before still can, and nobody else. Or it is
# the lock that is dressed.
sub dress {
    my ($to, $is_lock) = @_;
    my $mode = $is_lock ? lock_bits($::old[2]) : $::old[2] & 07777;
    my @got = stat $to;
    my $differs = $got[4] != $::old[4] || $got[5] != $::old[5];
    my $unmapped = $differs && is_unmapped();
    if ($differs && !$unmapped) {
        if (!chown $::old[4], $::old[5], $to) {
            is(qw(EPERM EACCES EINVAL EOPNOTSUPP ENOSYS)) or fails("giving it its owner");
            chown -1, $::old[5], $to if $got[5] != $::old[5];
            $mode &= 01777;
        }
        @got = stat $to;
    }
    my %has = map { $_ => 1 } xattrs(*S);
    my $acl = $has{$ACL} ? xattr(*S, $ACL) // attributes_fail("reading its ACL") : undef;
    if ($unmapped) {
        my %classes = map { $_ => 1 } $mode & 7, $mode >> 3 & 7, $got[4] != $::old[4] ? $mode >> 6 & 7 : ();
        bail(73, "its owner or group has no number in this user namespace, and can't be given it again (unchanged)",
            "write it outside of the container, or append in place") if defined $acl || keys %classes > 1;
        $mode &= 01777;
    }
    bail(73, "its group $::old[5] cannot be kept (unchanged)", "join the group $::old[5], or append in place")
        if $got[5] != $::old[5] && (defined $acl || ($mode >> 3 & 7) != ($mode & 7));
    if ($got[4] != $::old[4]) {
        my $had = $mode >> 6 & 7;
        $differs = owner_differs($mode, $acl);
        $mode |= 0200 | ($mode << 3 | $mode << 6) & 0400; # we become its owner, and may read what we could
        $acl = acl_with_owner($mode, $acl, $had) if $differs;
    }
    if (defined $acl) {
        $acl = acl_of(map { [$_->[0], $_->[1] & 6, $_->[2]] } acl_entries($acl)) if $is_lock;
        set_xattr($to, $ACL, $acl) or $got[4] != $::old[4] ? owner_refuses() : attributes_fail("setting its ACL");
        my ($acl_mask) = grep { $_->[0] == 0x10 } acl_entries($acl);
        $mode = $mode & ~070 | $acl_mask->[1] << 3 if $acl_mask;
    }
    elsif (grep { $_ eq $ACL } xattrs($to)) { # a default ACL of the directory, and not the target's
        syscall($::CALL{fremovexattr}, fileno $to, $ACL) == 0 or attributes_fail("removing an ACL");
    }
    if (!$is_lock) {
        delete $has{$_} # they speak of those very bytes
            for $ACL, qw(security.capability security.ima security.evm user.atomicops.append);
        for my $attribute (sort keys %has) {
            my $value = xattr(*S, $attribute);
            defined $value && set_xattr($to, $attribute, $value) or $attribute =~ /\A(?:security|trusted)\./
                or is(qw(EOPNOTSUPP ENODATA)) or attributes_fail("its attribute $attribute");
        }
        attributes_by_program() if !$::CALL{flistxattr} && $^O eq "linux";
    }
    @got = stat $to;
    ($got[2] & 07777) == $mode || chmod $mode, $to or mode_not_set();
}

# Whether its owner or group may be one that stat(2) shows as 65534, who is another here: user_namespaces(7). Who may act
# as an owner who has a number here may set this flag: fcntl(2). Of a group nobody can tell.
sub is_unmapped {
    return 0 if $::old[4] != 65534 && $::old[5] != 65534;
    sysopen my $map, "/proc/self/uid_map", 0 or return 0;
    return 0 if join(" ", split " ", <$map> // "") eq "0 0 4294967295";
    return 1 if $::old[4] != 65534;
    require Fcntl;
    return !fcntl S, Fcntl::F_SETFL(), fcntl(S, Fcntl::F_GETFL(), 0) | Fcntl::O_NOATIME();
}

sub owner_refuses {
    my $owner = getpwuid($::old[4]) // $::old[4];
    bail(73, "its owner $owner could not do with it what he can now (unchanged)",
        "put $owner into the group, or append in place");
}

sub attributes_by_program { # of Linux, where the numbers of the calls are not known
    return if !lstat $::name;
    system({ "cp" } "cp", "--attributes-only", "--preserve=mode,ownership,xattr", "--", "./$::name", "./$::tmp") == 0
        or bail(74, "cp could not copy its attributes (unchanged)", "see to the attributes of the file");
}

sub owner_differs { # whether the old owner could do more, or less, when the file becomes somebody else's
    my ($mode, $acl) = @_;
    my ($had, $group, $other) = ($mode >> 6 & 7, $mode >> 3 & 7, $mode & 7);
    return 0 if $::old[4] == 0;
    return 1 if defined $acl;
    return 1 if $group != $had;
    return 0 if $other == $had;
    my ($login, $primary) = (getpwuid $::old[4])[0, 3];
    return 0 if defined $primary && $primary == $::old[5];
    my $members = (getgrgid $::old[5])[3] // "";
    return !(defined $login && grep { $_ eq $login } split " ", $members);
}

# POSIX ACLs: entries of tag, permission and id. Tags: 1 owner, 2 user, 4 group of the file, 8 group, 16 mask, 32 other.
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
    my ($mode, $acl, $had) = @_;
    my @entries = defined $acl ? acl_entries($acl)
        : ([1, $mode >> 6 & 7, 0xffffffff], [4, $mode >> 3 & 7, 0xffffffff], [32, $mode & 7, 0xffffffff]);
    my ($mask) = map { $_->[1] } grep { $_->[0] == 16 } @entries;
    @entries = grep { $_->[0] != 16 && !($_->[0] == 2 && ($_->[2] == $::old[4] || $_->[2] == $>)) } @entries;
    for my $entry (@entries) { $entry->[1] &= $mask // 7 if $entry->[0] =~ /\A[248]\z/ }
    $_->[1] |= 2 | $mode >> 6 & 4 for grep { $_->[0] == 1 } @entries;
    push @entries, [2, $had, $::old[4]];
    $mask = 0;
    for my $entry (@entries) { $mask |= $entry->[1] if $entry->[0] =~ /\A[248]\z/ }
    return acl_of(@entries, [16, $mask, 0xffffffff]);
}

1;
