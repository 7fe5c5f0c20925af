# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
# The operations beside replacing a file: see atomicops.pl.

# What does each, with how many arguments at the least and at the most, and what the user is told of these.
my %OPERATION = (
    append => [\&append_file, 2, 2, "TEXT|- FILE"],
    update => [\&update_file, 2, 1e9, "[--default JSON] FILE FILTER [jq argument...]"],
    read => [\&read_file, 1, 1, "FILE"],
    version => [\&version_of, 1, 1, "FILE"],
    backup => [\&backup_file, 1, 2, "FILE [SUFFIX]"],
    recover => [\&recover_file, 1, 1, "FILE [--restore-missing] [--backup]"],
    sweep => [\&sweep, 1, 1, "DIR"],
    # what with_lock needs, which knows how
    lock => [\&prepare_lock, 1, 1], take => [\&take_for_shell, 3, 3], release => [\&release_for_shell, 1, 1],
    usage => [\&usage, 3, 3],
);
my %option; # those that are given, with their values
my $cwd; # for jq, and the files that its arguments name

sub other_operation {
    my ($function, $least, $most, $usage) = @{$OPERATION{$::op}};
    if ($::op eq "update" && @_ > 3 && $_[0] eq "--default") { (undef, $option{default}) = splice @_, 0, 2 }
    if ($::op eq "recover") { @_ = grep { !/\A--(restore-missing|backup)\z/ || !++$option{$1} } @_ }
    @_ >= $least && @_ <= $most
        or usage("atomic_$::op", "called with the wrong arguments", "atomic_$::op $usage");
    return $function->(@_);
}

sub append_file {
    my ($argument, $file) = @_;
    my $text = content($argument, $::shown = $file);
    resolve($file, 1);
    my $there = begin($::RDWR);
    my $end = $there ? sound_end() : 0;
    if ($::is_json && $::check eq "yes") {
        $text = substr(slurp(*S, "reading it"), 0, $end) . $text if $there;
        my $why = why_not_json($text);
        refuse("the file with this added", $why) if $why;
        replace(sub { put($text) }, \@::old);
    }
    else { replace(sub { copy($end) if $there; put($text) }, \@::old) }
    return 0;
}

sub copy { # of S, from its start: inside the kernel, and the rest, where that does not, by reading and writing
    my ($end) = @_;
    sysseek S, 0, 0;
    if ($::CALL{copy_file_range}) {
        my $n = 1;
        while ($n > 0 || $n < 0 && is("EINTR")) {
            $n = syscall $::CALL{copy_file_range}, fileno S, 0, fileno T, 0, 1 << 30, 0;
        }
    }
    while (1) {
        my $n = sysread(S, my $part, 1 << 20) // (again("reading it") && next);
        last if !$n;
        put($part);
    }
    my $size = sysseek T, 0, 1;
    truncate T, $end and sysseek T, $end, 0 or fails("cutting off a torn end") if $size > $end;
}

sub sound_end { # where the log ends, without what a killed append in place (of the Python helpers) left: that is kept
    my $mark = $::CALL{fgetxattr} ? xattr(*S, "user.atomicops.append") : undef;
    return $::old[7] if !defined $mark || length $mark != 24;
    my ($inode, $start, $length) = unpack "Q>3", $mark;
    return $::old[7] if $inode != $::old[1] || $start >= $::old[7] || $::old[7] >= $start + $length;
    sysseek S, $start, 0;
    my $tail = slurp(*S, "reading it");
    sysseek S, 0, 0;
    keep_copy("", "corrupt", sub { put($tail) });
    return $start;
}

sub update_file {
    my ($file, $filter, @jq) = @_;
    my $why = defined $option{default} && $::check eq "yes" ? why_not_json($option{default}) : "";
    $::shown = $file;
    unsure("--default", $why) if $::unsure;
    usage("--default", "no JSON: $why", "give one JSON value") if $why ne "";
    opendir $cwd, "." or undef $cwd;
    resolve($file, defined $option{default}) or missing();
    my $there = begin($::RDWR, !defined $option{default});
    my $before = $there ? slurp(*S, "reading it") : $option{default};
    sure("the file", $before);
    my $at = 0; # the filter is the last argument, or stands before what --args makes of all that follow it
    while ($at < @jq && $jq[$at] !~ /\A--(?:json)?args\z/) {
        $at += $jq[$at] =~ /\A--(?:arg|argjson|argfile|slurpfile|rawfile)\z/ ? 3 : $jq[$at] =~ /\A(?:--indent|-L)\z/ ? 2 : 1;
    }
    usage("atomic_update", "the last argument of jq lacks its value", "give it") if $at > @jq; # it would take the filter
    my @rest = splice @jq, $at;
    $filter =~ s/\A(?=-)/ /; # no option
    my $after = by_jq($before, $there, @jq, $filter, @rest);
    sure("the result of jq", $after);
    replace(sub { put($after) }, \@::old);
    return 0;
}

sub by_jq {
    my ($before, $there, @jq) = @_;
    if ($there) { sysseek S, $before =~ /\A\xef\xbb\xbf/ ? 3 : 0, 0 }
    elsif (!(child(*S))) {
        print STDOUT $before;
        leave(0);
    }
    my $pid = child(my $jq);
    if (!$pid) {
        chdir $cwd if $cwd;
        open STDIN, "<&", *S and exec { "jq" } "jq", @jq;
        leave(127);
    }
    my $after = slurp($jq, "reading from jq");
    return $after if close $jq;
    my ($status, $signal) = ($? >> 8, $? & 127);
    bail(69, "jq is missing (unchanged)", "install the package jq") if $status == 127;
    bail(74, "jq was killed by signal $signal (unchanged)", "see to the cause, then try again") if $signal;
    bail(65, "jq failed with status $status (unchanged)", "mend the filter or the file");
}

sub child { # a child whose standard output is the handle: its number, and 0 in itself
    return eval { open($_[0], "-|") } // fails("starting a process"); # it dies where it cannot fork
}

sub sure { # that it is JSON, and that jq loses nothing of it
    my ($what, $data) = @_;
    return if $::check ne "yes";
    my $why = why_not_json($data);
    unsure($what, $why) if $::unsure;
    bail(65, "$what: $why (unchanged)",
        $what eq "the file" ? "recover it from its newest valid backup" : "mend the filter") if $why;
    $why = lost_by_jq($data);
    my $todo = $why =~ /number/ ? "keep such numbers as strings" : "mend that first";
    bail(65, "$what has $why (unchanged)", $todo) if $why;
}

sub lost_by_jq { # what jq would lose of valid JSON: one of two keys, digits of a number, half a surrogate pair; or ""
    my @keys;
    for ($_[0]) {
        pos = 0;
        while (1) {
            /\G[^"\[\]{}0-9-]++/gc;
            if (/\G"/gc) {
                my $from = pos;
                string();
                my $text = substr $_, $from, pos() - 1 - $from;
                my $is_key = /\G[ \t\n\r]*+[:;]/gc; # of one alone Perl looks first whether it comes at all, to the end
                next if !$is_key && index($text, "\\u") < 0;
                $text =~ s/\\(?:u([dD][89abAB]..)\\u([dD][c-fC-F]..)|u(?![dD][89a-fA-F])(....)|([^u]))/plain($1, $2, $3, $4)/gse;
                return "half a surrogate pair, which jq would change" if $text =~ /\\u[dD]/;
                return "a key twice in one object" if $is_key && $keys[-1]{$text}++;
            }
            elsif (/\G[\[{]/gc) { push @keys, {} }
            elsif (/\G[\]}]/gc) { pop @keys }
            elsif (/\G([-+.0-9eE]+)/gc) { return "a number that jq would round" if !keeps($1) }
            else { return "" }
        }
    }
}

sub plain { # an escape as the character that it is
    my ($high, $low, $unit, $other) = @_;
    my $character = defined $high ? chr 0x10000 + ((hex($high) & 0x3ff) << 10) + (hex($low) & 0x3ff)
        : defined $unit ? chr hex $unit : $other =~ tr/bfnrt/\b\f\n\r\t/r;
    utf8::encode($character);
    return $character eq "\\" ? "\\/" : $character; # not to be taken for the beginning of an escape
}

# Whether jq 1.6 does: integers below 9007e12 (2^53 is a little more); else what is a double's shortest form, which has at
# most 17 digits; exponents to 289.
sub keeps {
    my ($number) = @_;
    my ($whole, $part, $power) = $number =~ /\A-?(\d+)(?:\.(\d+))?(?:[eE][+-]?0*(\d*))?\z/;
    return length $whole < 16 || length $whole == 16 && $whole lt "9007" if !defined $part && !defined $power;
    return 0 if ($power || 0) > 289;
    my $digits = ($whole . ($part // "")) =~ s/\A0+//r;
    return 0 if length $digits > 17 || length($part // "") > 279;
    my $n = length($digits =~ s/0+\z//r);
    return 1 if $n < 16;
    my ($shorter, $same) = map { # the nearest of so many digits that is read as this number
        my ($near, $power) = sprintf("%.*e", $_ - 1, abs $number) =~ tr/.//dr =~ /(.+)e(.+)/;
        $power -= $_ - 1;
        (grep { "${_}e$power" == abs $number } $near, $near + 1, $near - 1)[0] // 0;
    } $n - 1, $n;
    return !$shorter && $same == substr($digits, 0, $n);
}

sub read_file {
    $::sync = "none";
    resolve($_[0]) && open_to_read() or missing();
    my $data = slurp(*S, "reading it");
    my $why = $::is_json && $::check eq "yes" ? why_not_json($data) : "";
    unsure("it", $why) if $::unsure;
    bail(65, "corrupt: $why", "recover it from its newest valid backup") if $why;
    return say_all($data);
}

sub open_to_read { # S, with no lock. Whether there is such a file
    if (!sysopen S, $::name, $::NOFOLLOW | $::NONBLOCK) {
        @::old = not_opened(0);
        return 0;
    }
    @::old = stat S or fails("looking at it");
    -f _ or is_no_file();
    return 1;
}

sub say_all {
    my $at = 0;
    while ($at < length $_[0]) {
        $at += syswrite(STDOUT, $_[0], length($_[0]) - $at, $at) // (is("EINTR") ? 0
            : bail(74, "printing: $!", advice()));
    }
    return 0;
}

sub version_of {
    $::sync = "none";
    my $there = resolve($_[0]) && open_to_read();
    return say_all($there ? "sha256-" . sha256(slurp(*S, "reading it")) . "\n" : "absent\n");
}

# --- backups ---------------------------------------------------------------------------------------------------------

my %there; # what the directory has

sub list_names {
    opendir my $handle, "." or not_readable("listing its directory");
    $! = 0;
    %there = map { $_ => 1 } readdir $handle;
    $! == 0 or not_readable("listing its directory");
    return keys %there;
}

# The file's copies of a kind, the last made first: name, mtime, seconds and counter of a name that we gave. Where the
# mtimes contradict these, or are all the same, they say nothing (a checkout or a restore), and $told_by_name is true.
my $told_by_name;

sub copies {
    my ($kind) = @_;
    eval { require Time::HiRes } or is(qw(EMFILE ENFILE)) ? fails("loading Perl's Time::HiRes")
        : bail(69, "Perl's Time::HiRes is missing (unchanged)", "install the package perl");
    my @found;
    for my $copy (list_names()) {
        my ($suffix) = $copy =~ /\A\Q$::name\E\.(.+)\.$kind\z/s or next;
        next if of_another($suffix);
        lstat $copy or is("ENOENT") ? next : fails("looking at $copy");
        next if !-f _;
        push @found, [$copy, (Time::HiRes::stat($copy))[9] // fails("looking at $copy"), own_name($suffix)];
    }
    @found = sort { $b->[1] <=> $a->[1] || by_own() || $b->[0] cmp $a->[0] } @found;
    my @own = grep { $_->[2] } @found;
    $told_by_name = @found > 1 && $found[0][1] == $found[-1][1] || "@own" ne join " ", sort by_own @own;
    @found = sort { by_own() || $b->[1] <=> $a->[1] || $b->[0] cmp $a->[0] } @found if $told_by_name;
    return @found;
}

sub by_own { return $b->[2] <=> $a->[2] || $b->[3] <=> $a->[3] } # for sort

# Whether NAME.SUFFIX.bak is not NAME's: a file with a longer name (NAME.SUFFIX or a part of it), or its lock, is there.
sub of_another {
    for (my $owner = "$::name.$_[0]"; length $owner > length $::name; $owner =~ s/\.[^.]*\z//) {
        return 1 if $there{$owner} || $there{"." . stem($owner) . ".lock"};
    }
    return 0;
}

sub own_name { # seconds and counter of a suffix that we gave; 0 and 0 of a caller's
    my ($seconds, $counter) = $_[0] =~ /\A([1-9]\d{9})(?:\.([1-9]\d{0,17}))?\z/a;
    return ($seconds // 0, $counter // 0);
}

sub keep_copy { # keep_copy SUFFIX, KIND, FILL: a copy under a free name, later than all there are; returns its name
    my ($suffix, $kind, $fill) = @_;
    my @before = copies($kind);
    bail(65, "the suffix '$suffix' would make it the backup of another file that is there (unchanged)",
        "choose another suffix") if $suffix ne "" && of_another($suffix);
    make_temp($fill);
    if (@before) { # their order is that of their mtimes, whatever the clock says
        for my $step (0.00001, 1, 2, 4) {
            last if (Time::HiRes::stat(\*T))[9] > $before[0][1];
            my $later = $step < 1 ? $before[0][1] + $step : int($before[0][1]) + $step;
            Time::HiRes::utime($later, $later, \*T) or fails("setting its time");
        }
        $::sync eq "none" || fsync(*T) or fails("syncing");
    }
    close_temp();
    prove_lock();
    my ($newest) = sort by_own @before, ["", 0, 0, 0];
    if ($suffix eq "") { $suffix = $newest->[2] > time ? $newest->[2] : time }
    my ($seconds, $counter) = own_name($suffix);
    if ($seconds && $suffix eq $newest->[2]) { $counter = $newest->[3] + 1 }
    elsif ($seconds && ($seconds < $newest->[2] || $seconds == $newest->[2] && $counter < $newest->[3])) {
        ($suffix, $counter) = ("$suffix.0", 0); # or it would read as one of ours that was made earlier
    }
    else { $counter = 0 }
    my $made;
    for (; ; $counter++) {
        $made = "$::name.$suffix." . ($counter ? "$counter." : "") . $kind;
        last if link $::tmp, $made;
        next if is("EEXIST");
        # A file system without hard links may have this; else there is no safe way.
        my $error = $! + 0;
        if ($::CALL{renameat2} && is(qw(EPERM EOPNOTSUPP ENOSYS EMLINK))) {
            last if syscall($::CALL{renameat2}, -100, $::tmp, -100, $made, 1) == 0;
            next if is("EEXIST");
        }
        $! = $error;
        not_writable("creating $made");
    }
    discard();
    if ($::sync eq "full" && !fsync(*D) && !no_such_sync()) {
        fails("the corrupt bytes cannot be kept safely") if $kind ne "bak";
        not_durable("copied to $made");
    }
    return $made;
}

sub backup_file {
    my ($file, $suffix) = @_;
    usage("'$suffix'", "not a suffix for a backup", "use one that is not empty and has no slash")
        if defined $suffix && $suffix =~ m{\A\z|/};
    resolve($file) or missing();
    begin(0, 1);
    my $made = keep_copy($suffix // "", "bak", sub { copy($::old[7]) });
    $::done = 1;
    return say_all("$::dir$made\n");
}

sub recover_file {
    resolve($_[0]) or missing();
    my $there = look($::name);
    $there || is(qw(ENOENT ENOTDIR)) or fails("looking at it");
    my $wanted = $there || $option{"restore-missing"} && copies("bak");
    $there = begin(0) if $wanted; # where there is nothing to do, no lock is left behind
    my $data = $there ? slurp(*S, "reading it") : "";
    my $why = $there ? why_not_json($data) : "missing";
    unsure("it", $why) if $::unsure;
    my @safety = $option{backup} ? (\&safety_backup) : ();
    return report("$::shown: valid, nothing to do", map { $_->() } @safety) if $why eq "";
    my ($good, $by_name, @said) = newest_valid();
    my @kept;
    if ($there) {
        my ($mode, @read) = ($good eq "" ? 0 : $::RDWR, @::old);
        @::old = sysopen(S, $::name, $mode | $::NOFOLLOW | $::NONBLOCK) ? exactly(*S) : not_opened($mode);
        @::old or is("ENOENT") ? changed() : fails("looking at it");
        $mode == 0 || $::old[3] == 1 or may_not_replace();
        changed() if !same(@read, @::old) || $read[7] != $::old[7] || $read[9] != $::old[9];
        @kept = "  the corrupt bytes are kept in $::dir" . evidence($data);
    }
    if ($good eq "" && $there) {
        report("$::shown: corrupt ($why), and no valid backup; left as it is", @said, @kept);
        bail(65, "corrupt, and no valid backup (unchanged)", "write it anew");
    }
    if ($good eq "") {
        report("$::shown: missing, and no valid backup", @said);
        bail(66, "missing, and no valid backup", "check the name");
    }
    if (!$wanted) {
        report("$::shown: missing", @said,
            "  newest valid backup $::dir$good: not restored, because it was not asked for", @$by_name);
        bail(66, "missing (unchanged)", "restore it with --restore-missing");
    }
    restore($good);
    return report("$::shown: " . ($there ? "was corrupt ($why)" : "missing"), @said, "  restored from $::dir$good",
        @$by_name, @kept, map { $_->() } @safety);
}

sub report { # lines
    $::done = 1;
    return say_all(join "", map { printable($_) . "\n" } @_);
}

sub read_copy {
    my ($copy) = @_;
    sysopen my $handle, $copy, $::NOFOLLOW | $::NONBLOCK or fails("opening $copy", "make the file readable");
    return slurp($handle, "reading $copy");
}

sub newest_valid { # the name of the newest valid backup, and what is to be said of newer ones
    my @found = copies("bak");
    my @said;
    my @by_name = $told_by_name ? "  the newest by its name, for the backups' modification times say nothing" : ();
    for my $copy (@found) {
        my $why = why_not_json(read_copy($copy->[0]));
        return $copy->[0], \@by_name, @said if !$why;
        unsure("its backup $::dir$copy->[0]", $why) if $::unsure;
        push @said, "  skipped backup $::dir$copy->[0]: corrupt too";
    }
    return "", [], @said;
}

sub evidence { # a copy of the corrupt bytes; the one there is, where an earlier run has kept the very same
    my ($data) = @_;
    for my $copy (copies("corrupt")) {
        return $copy->[0] if -s $copy->[0] == length $data && read_copy($copy->[0]) eq $data;
    }
    return keep_copy("", "corrupt", sub { put($data) });
}

sub safety_backup {
    open_to_read();
    return "  safety backup $::dir" . keep_copy("", "bak", sub { copy($::old[7]) });
}

sub restore { # the target keeps its attributes; a missing one gets those of the backup
    my ($good) = @_;
    my $data = read_copy($good);
    my $missing = !@::old;
    if ($missing) {
        sysopen S, $good, $::NOFOLLOW | $::NONBLOCK or fails("opening $good", "make the file readable");
        @::old = stat S;
    }
    replace(sub { put($data) }, $missing ? [] : \@::old);
    widen_lock() if $missing && sysopen S, $::name, $::NOFOLLOW | $::NONBLOCK;
}

sub sweep {
    my ($path) = @_;
    ($::shown, $::dir, $::sync) = ($path, $path, "none");
    chdir $path or $path eq "" ? no_file_name("") : is("ENOENT") ? bail(66, "no such directory", "check the name")
        : not_readable("the directory $path");
    my $prefix = $path eq "." ? "" : $path =~ m{/\z} ? $path : "$path/";
    for my $temp (sort(list_names())) {
        my $stem = stem_of_temp($temp) // next;
        lstat $temp or is("ENOENT") ? next : not_writable("deleting $temp");
        next if !-f _;
        ($::lock, $::by_group) = (".$stem.lock", 0);
        my $state = "in use";
        if (take_lock(1) || !lstat $::lock && is("ENOENT")) {
            if (sysopen my $handle, $temp, $::NOFOLLOW | $::NONBLOCK) {
                if (flock $handle, 6) { # its writer, if he lived, would have it
                    my @found = stat $handle or not_writable("deleting $temp");
                    my @there = lstat $temp or is("ENOENT") ? next : not_writable("deleting $temp");
                    same(@found, @there) or next;
                    unlink $temp or is("ENOENT") or not_writable("deleting $temp", $temp);
                    $state = "removed";
                }
                elsif (!is("EAGAIN")) { not_writable("deleting $temp") }
            }
            else { is("ENOENT") ? next : is(qw(EACCES EPERM)) || not_writable("deleting $temp") }
        }
        report("$state $prefix$temp");
        close L;
    }
    return 0;
}

# --- with_lock -------------------------------------------------------------------------------------------------------

sub prepare_lock { # makes the lock of a file; prints a mark and its path, for the shell to open, if it has it not yet
    my ($file) = @_;
    resolve($file, 1);
    my $new = open_lock(1);
    my @ours = stat L or fails("looking at the lock $::lock");
    -f _ or no_lock();
    my ($shell, $in_trap) = held_by_shell(@ours);
    if ($shell && !flock(L, 6) && flock $shell, 6) {
        group_refuses() if $in_trap;
        return say_all("\n//");
    }
    give_lock_its_reach($new);
    require Cwd;
    my $here = Cwd::getcwd() // bail(73, "its directory has no path that fits 4,096 bytes", "move the directory");
    return say_all("\n//$here/$::lock");
}

sub take_for_shell { # the lock, on the shell's own open file
    my ($descriptor, $path, $file) = @_;
    ($::shown, $::lock) = ($file, $path);
    open L, "<&=", $descriptor or fails("the lock $::lock");
    flock L, 6 or wait_for_lock(*L);
    same(stat L, lstat $::lock) or lost("its lock");
    return 0;
}

sub release_for_shell { # closing is not enough: a subshell that the command left running has the same open file
    open L, "<&=", $_[0] and flock L, 8;
    return 0;
}

1;
