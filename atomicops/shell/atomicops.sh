# shellcheck shell=bash
# atomicops.sh: replace, append to, update, back up and recover small files that several processes share.
# What there is, and how to use it, is told below, behind the part that atomic-write.sh has to read each time.

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  printf 'atomicops: bash %s: too old; use bash 4.4 or later\n' "$BASH_VERSION" >&2
  return 69
fi

# --- messages and settings ------------------------------------------------------------------------------------------

_ao_fail() { # _ao_fail STATUS WHAT WHY TODO: one line on standard error
  local what=$2
  [[ $what != *[[:cntrl:]]* ]] || what=${what@Q}
  printf 'atomicops: %s: %s; %s\n' "$what" "$3" "$4" >&2
  return "$1"
}

_ao_settings() { # sets _ao_sync, _ao_wait (empty: for ever), _ao_check
  _ao_sync=${ATOMICOPS_DURABILITY:-full} _ao_wait=${ATOMICOPS_LOCK_TIMEOUT-30} _ao_check=${ATOMICOPS_VALIDATE:-yes}
  case $_ao_sync in
    full | file | none) ;;
    *) _ao_fail 64 "ATOMICOPS_DURABILITY=$_ao_sync" "not a durability" "use full, file or none"; return ;;
  esac
  case $_ao_check in
    yes | no) ;;
    *) _ao_fail 64 "ATOMICOPS_VALIDATE=$_ao_check" "not a choice" "use yes or no"; return ;;
  esac
  case $_ao_wait in
    '' | none) _ao_wait= ;;
    *[!0-9.]* | *.*.* | . | ??????????*)
      _ao_fail 64 "ATOMICOPS_LOCK_TIMEOUT=$_ao_wait" "not a number of seconds" "use one like 30 or 0.5, or none"
      return ;;
  esac
}

# --- the file, its lock and its temp files ---------------------------------------------------------------------------

_ao_shorten() { # what the names of the lock and of temp files start with
  local LC_ALL=C sum
  ((${#_ao_stem} > 180)) || return 0
  sum=$(printf %s "$_ao_stem" | sha256sum)
  _ao_stem=${_ao_stem:0:160}\~${sum:0:16}
}

_ao_resolve() { # _ao_resolve FILE: sets _ao_target _ao_dir _ao_name _ao_lock _ao_prefix _ao_json
  local path=$1
  if [[ -z $path ]]; then
    _ao_fail 64 "''" "an empty path" "name a file"
    return
  fi
  [[ $path == /* ]] || path=./$path # no leading dash for any program that sees it
  if [[ -L $path ]]; then
    # The mark keeps a newline at the end of the link's target.
    if ! path=$(readlink -mn -- "$path" && printf .) || path=${path%.} && [[ -L $path ]]; then
      _ao_fail 73 "$1" "too many levels of symbolic links" "repair the link"
      return
    fi
  fi
  _ao_target=$path _ao_name=${path##*/} _ao_dir=${path%/*}
  [[ -n $_ao_dir ]] || _ao_dir=/
  if [[ -d $path || -z $_ao_name ]]; then
    _ao_fail 73 "$1" "is a directory" "name a file in it"
    return
  fi
  if [[ -e $path && ! -f $path ]]; then
    _ao_fail 73 "$1" "is not a regular file" "name a regular file"
    return
  fi
  _ao_stem=$_ao_name
  ((${#_ao_stem} <= 45)) || _ao_shorten # these are characters, and 180 the limit in bytes
  _ao_lock=$_ao_dir/.$_ao_stem.lock _ao_prefix=$_ao_dir/.$_ao_stem. _ao_json=
  [[ ${_ao_name%.json} == "$_ao_name" && ${1%.json} == "$1" ]] || _ao_json=1
}

# --- JSON, RFC 8259, as a regular expression for Perl and PCRE over bytes (LC_ALL=C) -------------------------------
# Possessive quantifiers: a token that has matched is never given back, so time is linear and no backtracking limit
# is reached. Lone surrogates as \u escapes are JSON text, and json.loads takes them too; as UTF-8 bytes they are not.

_ao_utf8='[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]'
_ao_utf8+='|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}'
_ao_string='"(?:[^"\\\x00-\x1f\x80-\xff]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|'"$_ao_utf8"')*+"'
_ao_number='-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+'
_ao_grammar() { # _ao_grammar NUMBER: sets _ao_json_re
  local w='[ \t\n\r]*+'
  _ao_json_re="\\A$w((?>($_ao_string)|$1|true|false|null|\\[$w(?:(?1)$w(?:,$w(?1)$w)*+)?+\\]"
  _ao_json_re+="|\\{$w(?:(?2)$w:$w(?1)$w(?:,$w(?2)$w:$w(?1)$w)*+)?+\\}))$w\\z"
}

# --- the engine in one process ---------------------------------------------------------------------------------------

# No modules, and what most writes do not need is in a second text, compiled on the first call of one of its
# functions: to load and to compile costs more than to write. Calls that Perl has no function for go by number.
# Signals are delivered between Perl's own steps: a handler knows the temp file's name before there is a file, and
# nothing comes between the rename and the knowledge that it is done.
# `perl -x` finds it here by its first line, and its end by the last.
# shellcheck disable=SC2016
_ao_program='
#!perl
($op, $shown, $target, $dir, $prefix, $lock, $fd, $wait, $sync, $like, $json, $string, $number, $re, $rest, $machine)
    = splice @ARGV, 0, 16;
# The numbers of fsync, listxattr, flistxattr, exit_group; copy_file_range, setitimer, renameat2, getxattr, fsetxattr,
# fremovexattr.
($NOFOLLOW, $FSYNC, $LIST, $FLIST, $EXIT, @nr) = $machine eq "x86_64"
    ? (131072, 74, 194, 196, 231, 326, 38, 316, 191, 190, 199) : (32768, 82, 11, 13, 94, 285, 103, 276, 8, 7, 16);
sub AUTOLOAD {
    my $error = $! + 0;
    if ($rest !~ /^\nsub /) { # the path of the file with that text
        open my $file, "<", $rest or die "$rest: $!";
        local $/;
        ($rest) = <$file> =~ /^_ao_program_rest=\x27(\n.*?^)\x27$/ms;
    }
    eval $rest;
    die $@ if $@;
    $! = $error;
    goto &$AUTOLOAD;
}

# All of the input before the lock: its writer may be slow, or want that lock.
$text = "";
if ($op eq "write" || $op eq "append") {
    if (@ARGV) { $text = "$ARGV[0]\n" } # from atomic-write.sh, which has it as an argument itself
    else { while ($n = sysread(STDIN, $text, 1 << 20, length $text) // again("reading standard input")) { } }
    valid($text) or refuse("the content", $text) if $json && $op eq "write";
}
sub valid { # for 16 KiB a process for grep costs as much as this; for 1 MiB, a tenth
    index($_[0], "\0") < 0 && (length $_[0] > 16384 ? by_grep($_[0]) : $_[0] =~ /$re/);
}

$SIG{XFSZ} = "IGNORE"; # at a file size limit the write fails, and says so
for ("INT", "TERM", "HUP") { $SIG{$_} = sub { stopped(@_) } if !defined $SIG{$_} || $SIG{$_} ne "IGNORE" }

while ($fd ne "held") {
    if ($fd ne "") { shared_lock(); last }
    sysopen L, $lock, 02000102 | $NOFOLLOW, 0666 or lock_to_read();
    flock L, 6 or wait_for_lock();
    @ours = stat L;
    @there = lstat $lock; # if someone has removed it meanwhile, once more
    last if @there && $ours[0] == $there[0] && $ours[1] == $there[1];
}

@old = lstat $target or $! == 2 or cannot("looking at it");
not_regular() if @old && !-f _;
prepare() if $op ne "write";

sysopen R, "/dev/urandom", 02000000 and sysread(R, $n, 16) == 16 or io("/dev/urandom");
$tmp = $prefix . unpack("H*", $n) . ".atomicops-tmp";
sysopen T, $tmp, 02000301 | $NOFOLLOW, 0666 or no_temp();
copy() if $op ne "write" && @old;
$text eq "" || length $text == ($n = syswrite T, $text) or put_rest($n);

# Owner, mode and extended attributes: before the fsync.
@like = $like eq "" ? @old : lstat $like;
$like = $target if $like eq "";
if (@like) {
    @got = stat T;
    if ($got[4] != $like[4] || $got[5] != $like[5]
        || syscall($LIST, $like, 0, 0) > 0 || syscall($FLIST, fileno T, 0, 0) > 0) { attributes() }
    elsif ($got[2] != $like[2]) { chmod $like[2] & 07777, *T or io("setting its mode") }
}
$sync eq "none" || syscall($FSYNC, fileno T) == 0 or io("syncing");
close T or io("closing");

$done = 1;
($op eq "backup" ? keep() : rename $tmp, $target) or not_renamed();
undef $tmp;
$sync ne "full" || sysopen(D, $dir, 02000000) && syscall($FSYNC, fileno D) == 0 or not_durable();
syscall $EXIT, 0; # at once: Perl would first take everything apart
__END__
'

_ao_perl_is_there() {
  case ${ATOMICOPS_ENGINE:-auto} in
    auto | perl) ;;
    *) return 1 ;;
  esac
  case $OSTYPE/$HOSTTYPE in
    linux*/x86_64 | linux*/aarch64) ;;
    *) return 1 ;;
  esac
  hash perl 2>/dev/null
}

_ao_perl_arguments() { # _ao_perl_arguments OPERATION DESCRIPTOR FILE LIKE REST: sets _ao_arguments
  # REST is the second text, or the path of the file that has it.
  local check='' number=${_ao_only_number:-$_ao_number} _ao_json_re=''
  if [[ -n $_ao_json && $_ao_check == yes ]]; then
    check=1
    _ao_grammar "$number"
  fi
  _ao_arguments=("$1" "$3" "$_ao_target" "$_ao_dir" "$_ao_prefix" "$_ao_lock" "$2" "$_ao_wait" "$_ao_sync" "$4" "$check"
    "$_ao_string" "$number" "$_ao_json_re" "$5" "$HOSTTYPE")
}

# atomic-write.sh needs no more than this where there is a perl.
[[ -z ${_ao_first_part_only-} ]] || return 0

# --- the functions to call -------------------------------------------------------------------------------------------
#
#   source atomicops.sh
#   atomic_write   [--if-version V] CONTENT|- FILE   replace FILE          ("-": standard input)
#   atomic_append  TEXT|- FILE                       add to FILE's end
#   atomic_update  [--default JSON] FILE FILTER [jq argument...]   FILE = jq FILTER of FILE
#   atomic_read    FILE                              print FILE, a .json one only if it is valid
#   atomic_version FILE                              print what --if-version compares
#   atomic_backup  FILE [SUFFIX]                     copy to FILE.SUFFIX.bak, print that path
#   atomic_recover FILE [--restore-missing]          corrupt: keep the evidence, restore the newest valid backup
#   atomic_sweep   DIR                               remove the temp files of writers that are gone
#   with_lock      FILE COMMAND [ARGUMENT...]        run COMMAND holding FILE's lock
#
# CONTENT and TEXT given as an argument end in one newline more, as `echo` would have it: such files are text.
# Standard input is taken byte for byte, NULs and a missing last newline included.
#
# Every writer holds flock(2) on `.NAME.lock` beside the file, makes a temp file there, gives it the file's mode,
# owner and extended attributes, syncs it, renames it over the file and syncs the directory. Symlinks are followed.
# A *.json file is never replaced by anything but one JSON value.
#
# Exit codes: 0 done (and durable, as asked); 64 usage; 65 invalid data; 66 no such file; 69 a program is missing;
# 73 cannot create; 74 I/O error, or committed but not durable (the message says which); 75 lock timeout; 76 version.
#
# Environment: ATOMICOPS_DURABILITY=full|file|none (full)   ATOMICOPS_LOCK_TIMEOUT=SECONDS|none (30)
#   ATOMICOPS_VALIDATE=yes|no (yes)                         ATOMICOPS_ENGINE=auto|perl|coreutils (auto)
#
# A process costs about a millisecond, more than all the system calls of a write, so there are two engines of one
# contract. Where there is a perl on Linux/x86_64 or Linux/aarch64, it does everything in one process; elsewhere
# flock(1), grep(1) and coreutils do. Processes started (fork / exec), with lock, validation and full durability,
# over an existing file of up to 16 KiB:
#
#                          perl    coreutils
#   atomic-write.sh        0 / 1   6 / 6       flock, grep, cp (attributes), sync, mv, sync
#   atomic_write           1 / 1   7 / 6       the subshell keeps its traps from the caller's
#   atomic_append          1 / 1
#   atomic_update          2 / 2               and jq
#   atomic_read            0 / 0               a .json file: 1 / 1, grep; one over 64 KiB: 1 / 1, cat
#
# with_lock lets the helpers that a function calls, subshells included, write the same file. A program that it runs
# does not get the lock: a helper in there waits for it, and ends with status 75.
#
# Not promised: exclusion on file systems where flock(2) is local to one host (some NFS mounts); exclusion between
# commands that one with_lock runs side by side in the background.

# shellcheck disable=SC2016
_ao_program_rest='
sub numbers { ($COPY, $TIMER, $RENAME, $GET, $FSET, $FREMOVE) = @nr }
numbers();
sub stopped {
    return if $done;
    unlink $tmp if defined $tmp;
    $SIG{$_[0]} = "DEFAULT";
    kill $_[0], $$;
}
sub bail {
    my ($status, $why, $todo) = @_;
    unlink $tmp if defined $tmp;
    s/([\0-\37\177])/sprintf "\\x%02x", ord $1/ge for $shown, $why;
    print STDERR "atomicops: $shown: $why; $todo\n";
    exit $status;
}
sub io { # the error of a call that has left the target alone
    my ($what) = @_;
    my $todo = $! == 28 ? "free some space and try again" : $! == 122 ? "free some of your quota and try again"
        : "see to the cause and try again";
    bail(74, "$what: $! (unchanged)", $todo);
}
sub cannot { # the same for what could not be made: the directory is to blame, or else the device
    my ($what) = @_;
    io($what) if $! == 28 || $! == 122 || $! == 5 || $! == 4;
    bail(73, "$what: $! (unchanged)", $! == 36 ? "choose a shorter name" : "make the directory writable");
}
sub again { # a call that was interrupted: true, so that it is made once more
    $! == 4 or io(@_);
    return 1;
}
sub slurp { # all of a handle
    my ($h, $data, $n) = ($_[0], "");
    while ($n = sysread($h, $data, 1 << 20, length $data) // again("reading")) { }
    return $data;
}
sub put { # all of it: a short write is normal near a limit
    my ($h, $data, $at) = @_;
    for ($at += 0; $at < length $data;) {
        my $n = syswrite $h, $data, length($data) - $at, $at;
        if (!defined $n) { again("writing"); $n = 0 }
        elsif (!$n) { $! = 5; io("writing") }
        $at += $n;
    }
}
sub put_rest {
    my ($n) = @_;
    again("writing") if !defined $n;
    put(*T, $text, $n);
}
sub not_regular {
    bail(73, (-d _ ? "is a directory" : "is not a regular file") . " (unchanged)", "name a regular file");
}
sub no_temp {
    undef $tmp; # not ours
    cannot("creating a file in $dir");
}
sub not_renamed {
    bail(73, "is a directory (unchanged)", "name a regular file") if $! == 21;
    cannot("renaming onto it");
}
sub not_durable {
    bail(74, "syncing $dir: $! (changed, but may not survive a power loss)", "write it again");
}
sub refuse {
    my ($what, $data) = @_;
    my $why = $data =~ /\A\s*\z/ ? "is empty" : "is not one JSON value";
    bail(65, "$what $why (unchanged)", "write one JSON value, in UTF-8");
}
sub lock_to_read { # good enough for flock
    ($! == 13 || $! == 1 || $! == 30) && sysopen L, $lock, 02000000 | $NOFOLLOW or cannot("the lock $lock");
}
sub shared_lock { # the shell has it: asking again on its descriptor is free
    open L, "<&=", $fd or io("the lock $lock");
    flock L, 6 or wait_for_lock();
}
sub wait_for_lock {
    $! == 11 or io("the lock $lock");
    my $late;
    my @timeout = (75, "locked by another process for more than $wait s (unchanged)",
        "try again, or raise ATOMICOPS_LOCK_TIMEOUT");
    if ($wait ne "") {
        bail(@timeout) if $wait <= 0;
        $SIG{ALRM} = sub { $late = 1 };
        # It ticks on after the timeout, for a tick between the test and the call is lost.
        syscall $TIMER, 0, my $on = pack("q4", 0, 20000, int $wait, 1 + int 1e6 * ($wait - int $wait)), 0;
    }
    until (flock L, 2) {
        $! == 4 or io("the lock $lock");
        bail(@timeout) if $late;
    }
    syscall $TIMER, 0, my $off = "\0" x 32, 0 if $wait ne "";
}

sub by_grep {
    local $SIG{PIPE} = "IGNORE";
    my $pid = open(my $grep, "|-") // return walk($_[0]);
    if (!$pid) {
        open STDERR, ">", "/dev/null";
        exec { "grep" } "grep", "-qzP", "-e", $re;
        syscall $EXIT, 127;
    }
    my ($at, $n) = (0, 0);
    while ($at < length $_[0]) { $at += $n = syswrite($grep, $_[0], 1 << 20, $at) || last }
    return 1 if close $grep;
    return $? >> 8 == 1 ? 0 : walk($_[0]); # grep lacks -P, or met a limit of its own
}
sub walk { # the grammar as a loop
    my ($ws, $open, $want) = (qr/[ \t\n\r]*+/, "", "value");
    for ($_[0]) {
        pos = 0;
        for (;;) {
            /\G$ws/gc;
            if ($want eq "comma") {
                return pos == length if $open eq "";
                my $array = "[" eq substr $open, -1;
                if (/\G,/gc) { $want = $array ? "value" : "key" }
                elsif ($array ? /\G\]/gc : /\G\}/gc) { chop $open }
                else { return 0 }
            }
            elsif ($want =~ /^key/) {
                if ($want eq "key or end" && /\G\}/gc) { chop $open; $want = "comma"; next }
                /\G$string$ws:/gc or return 0;
                $want = "value";
            }
            elsif (/\G\[/gc) { $open .= "["; $want = "value or end" }
            elsif (/\G\{/gc) { $open .= "{"; $want = "key or end" }
            elsif ($want eq "value or end" && /\G\]/gc) { chop $open; $want = "comma" }
            elsif (/\G(?:$string|$number|true|false|null)/gc) { $want = "comma" }
            else { return 0 }
        }
    }
}

sub prepare { # what an append, a backup and an update must know of the old file
    ($default, @jq) = @ARGV if $op eq "update";
    bail(66, "no such file", "name a file to copy") if $op eq "backup" && !@old;
    bail(66, "no such file", "write it first, or say --default JSON") if $op eq "update" && !@old && $default eq "";
    if (@old) { sysopen S, $target, 02000000 | $NOFOLLOW or io("opening it") }
    if ($op eq "update") { $text = update(@old ? slurp(*S) : $default, pop @jq) }
    elsif ($op eq "append" && $json) {
        $text = (@old ? slurp(*S) : "") . $text;
        refuse("the file with this added", $text) if !valid($text);
    }
    else { return }
    $op = "write";
}
sub update {
    my ($before, $loose) = @_;
    sure("the file", $before, $loose);
    if (@old) { sysseek S, 0, 0 or io("reading") }
    elsif (!(open(S, "-|") // io("starting a process"))) {
        $SIG{PIPE} = "DEFAULT";
        put(*STDOUT, $before);
        exit 0;
    }
    my $pid = open(J, "-|") // io("starting a process");
    if (!$pid) {
        $SIG{XFSZ} = "DEFAULT";
        open STDIN, "<&", *S and exec { "jq" } "jq", @jq;
        exit 127;
    }
    my $after = slurp(*J);
    if (!close J) {
        bail(69, "jq is missing (unchanged)", "install the package jq") if $? >> 8 == 127;
        bail(65, "jq failed with status " . ($? >> 8 || 128 + $?) . " (unchanged)", "mend the filter or the file");
    }
    sure("the result of jq", $after, $loose);
    return $after;
}
sub sure { # $re has only numbers that jq does not round
    my ($what, $data, $loose) = @_;
    return if !$json || valid($data);
    $re = $loose;
    $number = "-?+(?:0|[1-9][0-9]*+)(?:\\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+";
    refuse($what, $data) if !valid($data);
    bail(65, "$what has a number that jq would round (unchanged)", "keep such numbers as strings");
}

sub copy {
    my $n;
    do { $n = syscall $COPY, fileno S, 0, fileno T, 0, 1 << 30, 0 } while $n > 0 || $n < 0 && $! == 4;
    # What is left where the kernel does not copy between such files: both offsets have moved with what it did.
    for (;;) {
        $n = sysread S, my $part, 1 << 20;
        if (!defined $n) { next if $! == 4; io("reading") }
        last if !$n;
        put(*T, $part);
    }
    # An append in place (of the Python helpers) that was killed has left a mark: which inode, from where, how long.
    my ($name, $mark) = ("user.atomicops.append", "\0" x 25);
    if ($op eq "append" && syscall($GET, $target, $name, $mark, 25) == 24) {
        my ($inode, $start, $length) = unpack "Q>3", $mark;
        my $size = -s S;
        if ($inode == $old[1] && $start < $size && $size < $start + $length) {
            truncate T, $start and sysseek T, $start, 0 or io("cutting off a torn end");
        }
    }
}
sub attributes { # where permitted; owner before mode, for chown clears set-id bits
    return if !-f $like;
    if ($got[4] != $like[4] || $got[5] != $like[5]) {
        chown $like[4], $like[5], *T or chown -1, $like[5], *T;
        @got = stat T;
    }
    my $room = "\0" x 65536;
    my $names = sub { my ($n) = @_; $n > 0 ? split /\0/, substr $room, 0, $n : () };
    my %keep = map { $_ => 1 } $names->(syscall $LIST, $like, $room, 65536);
    for my $name ($names->(syscall $FLIST, fileno T, $room, 65536)) { # as a default ACL of the directory leaves them
        syscall $FREMOVE, fileno T, $name if !$keep{$name} && $name =~ /^(?:user\.|system\.posix_acl)/;
    }
    for my $name (keys %keep) {
        next if $name =~ /^(?:security\.(?:capability|ima|evm)|user\.atomicops\.append)$/; # of those bytes, no others
        my $n = syscall $GET, $like, $name, $room, 65536;
        syscall $FSET, fileno T, $name, my $value = substr($room, 0, $n), $n, 0 if $n >= 0;
    }
    my $mode = $like[2] & 07777;
    $mode &= 01777 if $got[4] != $like[4] || $got[5] != $like[5]; # never set-id to another owner
    chmod $mode, *T or io("setting its mode");
}
sub keep { # never over another file, and whole from the first moment
    my ($suffix, $kind) = @ARGV;
    $suffix = time if $suffix eq "";
    my $made;
    for (my $i = 0; ; $i++) {
        $made = "$target.$suffix." . ($i ? "$i." : "") . $kind;
        last if syscall($RENAME, -100, $tmp, -100, $made, 1) == 0;
        last if ($! == 22 || $! == 38) && link($tmp, $made) && unlink $tmp; # no such flag on this file system
        $! == 17 or cannot("creating $made");
    }
    $made =~ s{^\./}{} if $shown !~ m{^\./};
    print STDOUT "$made\n";
    close STDOUT or bail(74, "copied to $made, but that not printed: $!", "look for it there");
}
1;
'


# Numbers that jq 1.6 does not round: integers to 9006999999999999 (2^53 is a little more), anything else to 17 digits
# and exponents to 289.
_ao_safe_number='-?+(?:(?:0|[1-9][0-9]{0,14}|[1-8][0-9]{15}|900[0-6][0-9]{12})(?![0-9.eE])|(?:0\.(?=[0-9])0*+[0-9]{0,17}+'
_ao_safe_number+='|0(?=[eE])|[1-9][0-9]{0,16}+(?=[eE])|(?=[0-9.]{3,18}+(?![0-9.]))[1-9][0-9]*+\.[0-9]++)'
_ao_safe_number+='(?:[eE][+-]?+(?=[0-9])0*+(?:1[0-9]{2}|2[0-8][0-9]|[0-9]{0,2}+))?+(?![0-9.eE]))'

# --- the lock --------------------------------------------------------------------------------------------------------

# Locks held by this shell: the lock's path, and the shell that took it.
_ao_held_locks=()
_ao_held_by=()

_ao_flock() { # _ao_flock DESCRIPTOR SECONDS: 0, or 75 for a timeout, or another status and a message
  local status=0 how=()
  if ! hash flock 2>/dev/null; then
    _ao_fail 69 flock "this program is missing" "install the package util-linux"
    return
  fi
  case $2 in
    '') ;;
    *[1-9]*) how=(-E 75 -w "$2") ;;
    *) how=(-E 75 -n) ;; # -w 0 is an error in some versions
  esac
  # By way of standard input: a duplicate of a descriptor that is closed on exec is so itself, but for 0, 1 and 2.
  flock ${how[@]+"${how[@]}"} 0 <&"$1" || status=$?
  case $status in
    0 | 75) return "$status" ;;
  esac
  _ao_fail 74 "$_ao_lock" "flock failed with status $status" "keep the file on a file system that has locks"
}

_ao_take() { # _ao_take VARIABLE SECONDS: opens the lock on a new descriptor, put into VARIABLE, and takes it
  local _ao_d _ao_status
  for (( ; ; )); do
    if [[ -L $_ao_lock || (-e $_ao_lock && ! -f $_ao_lock) ]] ||
      ! { { exec {_ao_d}<>"$_ao_lock"; } 2>/dev/null || { exec {_ao_d}<"$_ao_lock"; } 2>/dev/null; }; then
      _ao_fail 73 "$_ao_lock" "cannot open this lock" "make the directory writable"
      return
    fi
    _ao_status=0
    _ao_flock "$_ao_d" "$2" || _ao_status=$?
    if ((_ao_status)); then
      exec {_ao_d}>&-
      return "$_ao_status"
    fi
    # Someone may have removed the file while we waited; without procfs we believe that nobody does.
    [[ -d /proc/self/fd && ! /proc/$BASHPID/fd/$_ao_d -ef $_ao_lock ]] || break
    exec {_ao_d}>&-
  done
  printf -v "$1" %s "$_ao_d"
}

_ao_timeout() { # _ao_timeout FILE
  local hint="try again, or raise ATOMICOPS_LOCK_TIMEOUT"
  _ao_fail 75 "$1" "locked by another process for more than $_ao_wait s (unchanged)" "$hint"
}

_ao_holds() { # whether this shell, or the one that it is a subshell of, holds the lock: sets _ao_fd
  # In the shell that took it: "held". In a subshell: a descriptor of that lock, as proof, and to ask again on.
  local i
  _ao_fd=
  for ((i = 0; i < ${#_ao_held_locks[@]}; i++)); do
    [[ ${_ao_held_locks[i]} -ef $_ao_lock ]] || continue
    if [[ ${_ao_held_by[i]} == "$BASHPID" ]]; then
      _ao_fd=held
      return 0
    fi
    # After the owner's release what its subshells have inherited counts for nothing.
    _ao_has_open "${_ao_held_by[i]}" || continue
    _ao_has_open "$BASHPID" && return 0
  done
  return 1
}

_ao_has_open() { # _ao_has_open PID: whether that process has the lock's file open; sets _ao_fd
  local IFS='' set=$- file
  _ao_fd=
  set +f
  for file in "/proc/$1/fd/"*; do
    [[ ! $file -ef $_ao_lock ]] || _ao_fd=${file##*/}
  done
  [[ $set != *f* ]] || set -f
  [[ -n $_ao_fd ]]
}

with_lock() {
  if (($# < 2)); then
    _ao_fail 64 with_lock "needs a file and a command" "with_lock FILE COMMAND [ARGUMENT...]"
    return
  fi
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json _ao_sync _ao_wait _ao_check _ao_fd _ao_kind
  local _ao_given=$1 _ao_mine _ao_status=0
  shift
  _ao_settings && _ao_resolve "$_ao_given" && _ao_parents || return
  if _ao_holds; then
    "$@"
    return
  fi
  _ao_take _ao_mine "$_ao_wait" || _ao_status=$?
  if ((_ao_status)); then
    ((_ao_status != 75)) || _ao_timeout "$_ao_given"
    return "$_ao_status"
  fi
  _ao_held_locks+=("$_ao_lock")
  _ao_held_by+=("$BASHPID")
  # While it runs, the descriptor is closed for every program that it starts. For a function the shell keeps a copy
  # of its own, closed on exec, and with that the lock. The command is not put into a condition, so that the
  # caller's `set -e` goes on counting inside a function.
  eval "_ao_without_$_ao_mine() { \"\$@\" $_ao_mine>&-; }" # not the call itself: bash -c then ends untidily
  "_ao_without_$_ao_mine" "$@"
  _ao_status=$?
  unset '_ao_held_locks[${#_ao_held_locks[@]}-1]' '_ao_held_by[${#_ao_held_by[@]}-1]'
  _ao_kind=$(type -t "$1") || :
  # A subshell that a function has left running has a copy of the descriptor: unlocking counts for all copies.
  [[ $_ao_kind == file ]] || flock -u 0 <&"$_ao_mine"
  exec {_ao_mine}>&-
  return "$_ao_status"
}

# --- the engine of small programs ------------------------------------------------------------------------------------

_ao_valid() { # _ao_valid STRING [NUMBER]: 0 for one JSON value, 1 if not, 69 if nobody can tell
  local status=0 _ao_json_re
  _ao_grammar "${2-$_ao_number}"
  LC_ALL=C grep -qzP -e "$_ao_json_re" 2>/dev/null <<<"$1" || status=$?
  ((status > 1)) || return "$status"
  # This grep has no -P, or met a limit. jq takes a little more than JSON (NaN, bytes that are not UTF-8).
  if ! hash jq 2>/dev/null; then
    _ao_fail 69 grep "cannot check JSON here, and jq is missing" "install the package grep (GNU), perl-base or jq"
    return
  fi
  jq -se 'length == 1' >/dev/null 2>&1 <<<"$1" || return 1
}

_ao_contents() { # _ao_contents PATH: sets _ao_bytes; 1 if there is a NUL, 2 if it cannot be read
  local LC_ALL=C IFS=''
  _ao_bytes=
  [[ ! -d $1 ]] && { exec {_ao_in}<"$1"; } 2>/dev/null || return 2
  local status=0
  read -r -d '' -u "$_ao_in" _ao_bytes && status=1
  exec {_ao_in}<&-
  return "$status"
}

_ao_invalid() { # _ao_invalid FILE WHAT STRING
  local why="is not one JSON value"
  [[ $3 == *[!$' \t\n\r']* ]] || why="is empty"
  _ao_fail 65 "$1" "$2 $why (unchanged)" "write one JSON value, in UTF-8"
}

_ao_random() { # sets _ao_hex: 32 digits
  local id='' i
  { read -r id </proc/sys/kernel/random/uuid; } 2>/dev/null || :
  _ao_hex=${id//-/}
  [[ ${#_ao_hex} -ne 32 ]] || return 0
  _ao_hex= # no procfs: what bash has, mixed
  local now=${EPOCHREALTIME-0} seed # since bash 5.0
  seed=$((BASHPID * 7919 + 10#${now//[!0-9]/} + SECONDS))
  for ((i = 0; i < 8; i++)); do
    printf -v id '%04x' $(((RANDOM * 4 ^ RANDOM ^ ${SRANDOM:-RANDOM} ^ seed >> (i * 5)) & 65535))
    _ao_hex+=$id
  done
}

_ao_try() { # _ao_try STATUS FILE WHAT COMMAND...: what the command says becomes the message
  local status=$1 file=$2 what=$3 said
  shift 3
  said=$(LC_ALL=C exec "$@" 2>&1 >/dev/null) && return # exec: the substitution's process becomes the command
  case $said in
    *'No space left'* | *quota* | *'Input/output'*) status=74 ;;
  esac
  _ao_fail "$status" "$file" "$what: ${said##*: }" "see to the cause and try again"
}

# The rest of this part runs in a process of its own, so that traps, options and descriptors are not the caller's.
_ao_core() ( # _ao_core OPERATION FILE LIKE [SUFFIX KIND]
  _ao_core_here "$@"
)

_ao_core_here() {
  set +eu -C
  IFS=$' \t\n'
  local _ao_lock_d='' _ao_status=0
  _ao_tmp='' _ao_encoded=''
  trap '[[ -z $_ao_tmp ]] || rm -f -- "$_ao_tmp"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap '' XFSZ # at a file size limit the write fails, and says so
  if [[ $1 != backup ]]; then
    # All of the input before the lock: its writer may be slow, or want that lock. A variable holds no NUL: base64.
    if [[ -z ${_ao_text+x} ]]; then
      _ao_encoded=$(base64 -w0) || exit 74
    elif [[ $1 == write && -n $_ao_json && $_ao_check == yes ]]; then
      _ao_valid "$_ao_text" || _ao_status=$?
      ((_ao_status != 1)) || _ao_invalid "$2" "the content" "$_ao_text" || exit
      ((_ao_status == 0)) || exit "$_ao_status"
    fi
  fi
  case $_ao_fd in
    held) _ao_core_locked "$@" ;;
    *)
      if [[ -n $_ao_fd ]]; then # a copy of the lock of the shell above: free to ask for again
        _ao_flock "$_ao_fd" "$_ao_wait"
      else
        _ao_take _ao_lock_d "$_ao_wait"
      fi || _ao_status=$?
      ((_ao_status != 75)) || _ao_timeout "$2"
      ((_ao_status == 0)) || exit "$_ao_status"
      if [[ -n $_ao_lock_d ]]; then
        eval "_ao_core_locked \"\$@\" $_ao_lock_d>&-"
      else
        _ao_core_locked "$@"
      fi
      ;;
  esac
  exit
}

_ao_core_locked() { # every child is started with the lock's descriptor closed
  local LC_ALL=C op=$1 file=$2 like=${3:-$_ao_target} suffix=${4-} kind=${5-} made i out add
  if ((${#_ao_name} > 255)); then # or else only the renaming would tell
    _ao_fail 73 "$file" "File name too long (unchanged)" "choose a shorter name"
    exit
  fi
  if [[ -e $_ao_target && ! -f $_ao_target ]]; then
    _ao_fail 73 "$file" "is not a regular file (unchanged)" "name a regular file"
    exit
  fi
  if [[ $op == backup && ! -e $_ao_target ]]; then
    _ao_fail 66 "$file" "no such file" "name a file to copy"
    exit
  fi
  _ao_random
  _ao_tmp=$_ao_prefix$_ao_hex.atomicops-tmp
  if ! { exec {out}>"$_ao_tmp"; } 2>/dev/null; then
    _ao_tmp= # not ours
    _ao_fail 73 "$file" "cannot create a file in $_ao_dir (unchanged)" "make the directory writable, or free some space"
    exit
  fi
  exec {add}>>"$_ao_tmp" # before cp may take away the permission
  if [[ $op != write && -e $_ao_target ]]; then
    _ao_try 74 "$file" "copying (unchanged)" cp -T --reflink=auto --preserve=all --no-preserve=timestamps,links \
      -- "$_ao_target" "$_ao_tmp" || exit
  fi
  if [[ $op == backup ]]; then
    :
  elif [[ -n ${_ao_text+x} ]]; then
    printf '%s\n' "$_ao_text" >&"$add"
  else
    base64 -d <<<"$_ao_encoded" >&"$add"
  fi 2>/dev/null || { _ao_fail 74 "$file" "writing failed (unchanged)" "free some space and try again" || exit; }
  exec {add}>&- {out}>&-
  if [[ -n $_ao_json && $_ao_check == yes && $op != backup ]] && [[ $op == append || -z ${_ao_text+x} ]]; then
    local _ao_bytes status=0
    _ao_contents "$_ao_tmp" && _ao_valid "$_ao_bytes" || status=$?
    ((status != 1)) || _ao_invalid "$file" "the content" "$_ao_bytes" || exit
    ((status == 0)) || exit "$status"
  fi
  if [[ $op == write && -e $like ]]; then
    cp -T --attributes-only --preserve=all --no-preserve=timestamps,links -- "$like" "$_ao_tmp" 2>/dev/null ||
      _ao_try 74 "$file" "setting its mode (unchanged)" chmod --reference="$like" -- "$_ao_tmp" || exit
  fi
  [[ $_ao_sync == none ]] || _ao_try 74 "$file" "syncing (unchanged)" sync -- "$_ao_tmp" || exit
  if [[ $op == backup ]]; then
    [[ -n $suffix ]] || printf -v suffix '%(%s)T' -1
    for ((i = 0; ; i++)); do
      made=$_ao_target.$suffix.
      ((!i)) || made+=$i.
      made+=$kind
      ln -T -- "$_ao_tmp" "$made" 2>/dev/null && break
      [[ -e $made || -L $made ]] || _ao_try 73 "$file" "creating $made" ln -T -- "$_ao_tmp" "$made" || exit
    done
    _ao_try 74 "$file" "removing the temp file" rm -f -- "$_ao_tmp" || exit
  else
    made=
    _ao_try 73 "$file" "renaming (unchanged)" mv -fT -- "$_ao_tmp" "$_ao_target" || exit
  fi
  _ao_tmp=
  if [[ -n $made ]]; then
    [[ $file == ./* ]] || made=${made#./}
    printf '%s\n' "$made" || exit 74
  fi
  if [[ $_ao_sync == full ]]; then
    _ao_try 74 "$file" "syncing $_ao_dir (changed, but may not survive a power loss)" sync -- "$_ao_dir" || exit
  fi
}

# --- the functions ---------------------------------------------------------------------------------------------------

_ao_run() { # _ao_run OPERATION FILE LIKE [more]: the content is $_ao_text, or standard input if that is unset
  local _ao_fd _ao_arguments _ao_json_re
  _ao_holds || :
  if ! _ao_perl_is_there; then
    if [[ -n ${_ao_alone-} ]]; then _ao_core_here "$@"; fi
    _ao_core "$@"
    return
  fi
  local op=$1 file=$2 like=$3 descriptor=$_ao_fd
  shift 3
  [[ $_ao_fd != [0-9]* ]] || descriptor=9
  _ao_perl_arguments "$op" "$descriptor" "$file" "$like" "$_ao_program_rest"
  set -- "${_ao_arguments[@]}" "$@"
  if [[ $descriptor == 9 ]]; then # by way of 0, as in _ao_flock
    LC_ALL=C PERL5OPT='' PERL_UNICODE=0 perl -e "$_ao_program" -- "$@" 8<&0 0<&"$_ao_fd" 9<&0 0<&8 8<&-
  else
    LC_ALL=C PERL5OPT='' PERL_UNICODE=0 perl -e "$_ao_program" -- "$@"
  fi
}

_ao_commit() { # _ao_commit write|append FILE LIKE: the content as for _ao_run
  if [[ -z ${_ao_text+x} ]] || ! _ao_perl_is_there; then
    _ao_run "$@"
    return
  fi
  local _ao_status=74
  # The here-string is a pipe as long as that holds it, else a file in TMPDIR: that may fail, before anything is done.
  { _ao_run "$@" && _ao_status=0 || _ao_status=$?; } <<<"$_ao_text" ||
    _ao_fail 74 "$2" "no room for the content in ${TMPDIR:-/tmp} (unchanged)" "free some space there and try again"
  return "$_ao_status"
}

_ao_usage() {
  _ao_fail 64 "$1" "called with the wrong arguments" "$1 $2"
}

_ao_parents() { # makes the file's directory if need be
  [[ ! -d $_ao_dir ]] || return 0
  local made=() dir=$_ao_dir
  while [[ ! -d $dir && $dir == */* ]]; do
    made+=("$dir")
    dir=${dir%/*}
  done
  made+=("${dir:-/}")
  if ! mkdir -p -- "$_ao_dir" 2>/dev/null; then
    _ao_fail 73 "$_ao_dir" "cannot make this directory" "make it, or choose another"
    return
  fi
  if [[ $_ao_sync == full ]] && ! sync -- "${made[@]}" 2>/dev/null; then
    _ao_fail 74 "$_ao_dir" "made, but may not survive a power loss; nothing was written in it" "try again"
  fi
}

# Each of these keeps what it works out in variables of its own, for they call each other.

_ao_write() { # _ao_write write|append CONTENT|- FILE
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json _ao_sync _ao_wait _ao_check _ao_text
  [[ $2 == - ]] || _ao_text=$2
  _ao_settings && _ao_resolve "$3" && _ao_parents && _ao_commit "$1" "$3" ''
}

atomic_write() {
  if (($# == 4)) && [[ $1 == --if-version ]]; then
    local _ao_text
    if [[ $3 == - && -z ${_ao_alone-} ]]; then
      with_lock "$4" _ao_write_if "$2" - "$4"
    else
      with_lock "$4" _ao_write_if "$2" "$3" "$4"
    fi
    return
  fi
  if (($# != 2)); then
    _ao_usage atomic_write "[--if-version VERSION] CONTENT|- FILE"
    return
  fi
  _ao_write write "$1" "$2"
}

_ao_write_if() { # _ao_write_if VERSION CONTENT|- FILE, under the lock
  local version _ao_alone=
  version=$(atomic_version "$3") || return
  if [[ $version != "$1" ]]; then
    _ao_fail 76 "$3" "has version $version, not $1 (unchanged)" "read it again and redo the change"
    return
  fi
  _ao_write write "$2" "$3"
}

atomic_version() {
  if (($# != 1)); then
    _ao_usage atomic_version FILE
    return
  fi
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json sum
  _ao_resolve "$1" || return
  if [[ ! -e $_ao_target ]]; then
    printf 'absent\n'
  elif sum=$(sha256sum <"$_ao_target"); then
    printf 'sha256-%s\n' "${sum:0:64}"
  else
    _ao_fail 74 "$1" "cannot be read" "see to its permissions"
  fi
}

atomic_append() {
  if (($# != 2)); then
    _ao_usage atomic_append "TEXT|- FILE"
    return
  fi
  _ao_write append "$1" "$2"
}

atomic_read() {
  if (($# != 1)); then
    _ao_usage atomic_read FILE
    return
  fi
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json _ao_sync _ao_wait _ao_check _ao_bytes _ao_in
  local LC_ALL=C IFS='' status=0
  _ao_settings && _ao_resolve "$1" || return
  if [[ ! -e $_ao_target ]]; then
    _ao_fail 66 "$1" "no such file" "write it first, or use a default of your own"
    return
  fi
  if ! { exec {_ao_in}<"$_ao_target"; } 2>/dev/null; then
    _ao_fail 74 "$1" "cannot be read" "see to its permissions"
    return
  fi
  if [[ -n $_ao_json && $_ao_check == yes ]]; then
    read -r -d '' -u "$_ao_in" _ao_bytes && status=1
    exec {_ao_in}<&-
    ((status)) || _ao_valid "$_ao_bytes" || status=$?
    case $status in
      0) printf %s "$_ao_bytes" ;;
      1)
        _ao_fail 65 "$1" "is not one JSON value" "atomic_recover restores the newest valid backup"
        ;;
      *) return "$status" ;;
    esac
    return
  fi
  # No process for what is small; bash reads slowly, so for the rest there is cat.
  while read -r -d '' -n 65536 -u "$_ao_in" _ao_bytes; do
    if ((${#_ao_bytes} == 65536)); then
      printf %s "$_ao_bytes" && cat <&"$_ao_in" || status=$?
      exec {_ao_in}<&-
      return "$status"
    fi
    printf '%s\0' "$_ao_bytes" || status=$?
  done
  exec {_ao_in}<&-
  printf %s "$_ao_bytes" && return "$status"
}

atomic_update() {
  local default=''
  if [[ ${1-} == --default ]]; then
    if (($# < 4)) || [[ -z $2 ]]; then
      _ao_usage atomic_update "--default JSON FILE FILTER [jq argument...]"
      return
    fi
    default=$2
    shift 2
  fi
  if (($# < 2)); then
    _ao_usage atomic_update "[--default JSON] FILE FILTER [jq argument...]"
    return
  fi
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json _ao_sync _ao_wait _ao_check _ao_text
  if ! hash jq 2>/dev/null; then
    _ao_fail 69 jq "this program is missing" "install the package jq"
    return
  fi
  _ao_settings && _ao_resolve "$1" && _ao_parents || return
  _ao_json=1 # whatever its name: jq reads and writes JSON
  local file=$1 filter=" $2" _ao_json_re # the space: not an option, even with a leading dash
  shift 2
  if _ao_perl_is_there; then
    _ao_grammar "$_ao_number"
    local loose=$_ao_json_re _ao_only_number=$_ao_safe_number
    _ao_run update "$file" '' "$default" "$filter" "$@" "$loose"
    return
  fi
  with_lock "$file" _ao_update_locked "$file" "$default" "$filter" "$@"
}

_ao_update_locked() { # _ao_update_locked FILE DEFAULT FILTER [jq argument...]
  local file=$1 before=$2 status=0 _ao_bytes _ao_in
  shift 2
  if [[ -e $_ao_target ]]; then
    _ao_contents "$_ao_target" || status=$?
    if ((status == 2)); then
      _ao_fail 74 "$file" "cannot be read (unchanged)" "see to its permissions"
      return
    fi
    before=$_ao_bytes
  elif [[ -z $before ]]; then
    _ao_fail 66 "$file" "no such file" "write it first, or say --default JSON"
    return
  fi
  ((status == 0)) || before+=$'\x01' # a NUL: not JSON
  _ao_update_check "$file" "the file" "$before" || return
  # The here-string's newline is white space. The mark keeps jq's own output to the last byte.
  if ! _ao_text=$(jq "$@" <<<"$before"); then
    _ao_fail 65 "$file" "jq failed (unchanged)" "mend the filter or the file"
    return
  fi
  _ao_update_check "$file" "the result of jq" "$_ao_text" || return
  local _ao_check=no # it has been
  _ao_commit write "$file" ''
}

_ao_update_check() { # _ao_update_check FILE WHAT STRING
  local status=0
  [[ $_ao_check == yes ]] || return 0
  _ao_valid "$3" "$_ao_safe_number" && return || status=$?
  ((status == 1)) || return "$status"
  if _ao_valid "$3"; then
    _ao_fail 65 "$1" "$2 has a number that jq would round (unchanged)" "keep such numbers as strings"
    return
  fi
  _ao_invalid "$1" "$2" "$3"
}

atomic_backup() {
  if (($# < 1 || $# > 2)); then
    _ao_usage atomic_backup "FILE [SUFFIX]"
    return
  fi
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json _ao_sync _ao_wait _ao_check _ao_text
  if (($# == 2)) && [[ -z $2 || $2 == */* ]]; then
    _ao_fail 64 "'$2'" "not a suffix for a backup" "use one that is not empty and has no slash"
    return
  fi
  _ao_settings && _ao_resolve "$1" && _ao_run_existing "$1" backup "$1" '' "${2-}" bak
}

_ao_run_existing() { # _ao_run_existing FILE OPERATION...: without a directory there is no place for a lock
  if [[ ! -e $_ao_target ]]; then
    _ao_fail 66 "$1" "no such file" "name a file that is there"
    return
  fi
  shift
  _ao_run "$@"
}

atomic_recover() {
  local _ao_target _ao_name _ao_dir _ao_lock _ao_prefix _ao_json _ao_sync _ao_wait _ao_check
  local file='' missing='' backup='' argument
  for argument; do
    case $argument in
      --restore-missing) missing=1 ;;
      --backup) backup=1 ;;
      *) [[ -z $file ]] && file=$argument || file= ;;
    esac
  done
  if [[ -z $file ]]; then
    _ao_usage atomic_recover "FILE [--restore-missing] [--backup]"
    return
  fi
  _ao_settings && _ao_resolve "$file" || return
  if [[ ! -d $_ao_dir ]]; then
    _ao_fail 66 "$file" "missing, and so is its directory" "write it anew"
    return
  fi
  with_lock "$file" _ao_recover_locked "$file" "$missing" "$backup"
}

_ao_check_file() { # _ao_check_file PATH: 0 valid JSON, 1 not, 2 unreadable, 69; sets _ao_why
  local _ao_bytes _ao_in status=0
  _ao_contents "$1" || status=$?
  case $status in
    2) return 2 ;;
    1) _ao_why="it has NUL bytes" ;;
    *)
      _ao_valid "$_ao_bytes" || status=$?
      _ao_why="it is not one JSON value"
      [[ $_ao_bytes == *[!$' \t\n\r']* ]] || _ao_why="it is empty"
      ;;
  esac
  return "$status"
}

_ao_backups() { # sets _ao_list: the file's backups, newest first
  local LC_ALL=C IFS='' path middle suffix counter mtime keys=() key i
  _ao_list=()
  local all=()
  set +f
  for path in "$_ao_target".*.bak; do
    [[ ! -f $path || -L $path ]] || all+=("$path")
  done
  ((${#all[@]})) || return 0
  local times=()
  # One process for all; a backup that goes away meanwhile makes stat fail, and is looked at again.
  while IFS= read -r mtime; do times+=("$mtime"); done < <(stat -c %.9Y -- "${all[@]}" 2>/dev/null)
  for ((i = 0; i < ${#all[@]}; i++)); do
    path=${all[i]} middle=${all[i]#"$_ao_target".}
    middle=${middle%.bak} counter=0 mtime=${times[i]-0.000000000}
    suffix=$middle
    case ${middle##*.} in
      "$middle" | '' | *[!0-9]* | 0* | ???????????????????*) ;;
      *) [[ -z ${middle%.*} ]] || { suffix=${middle%.*} counter=${middle##*.}; } ;;
    esac
    case $suffix in
      *[!0-9]* | ???????????????????*) suffix=${mtime%.*} ;;
    esac
    printf -v key '%018d%018d%s' "$((10#$suffix))" "$((10#$counter))" "$mtime"
    local j=${#_ao_list[@]}
    while ((j > 0)) && [[ ${keys[j - 1]} < $key ]]; do
      keys[j]=${keys[j - 1]} _ao_list[j]=${_ao_list[j - 1]}
      ((j -= 1)) || :
    done
    keys[j]=$key _ao_list[j]=$path
  done
}

_ao_recover_locked() { # _ao_recover_locked FILE RESTORE_MISSING BACKUP
  local file=$1 status=0 _ao_why='' _ao_list path found='' evidence='' here=./
  [[ $file != ./* ]] || here=
  if [[ -e $_ao_target ]]; then
    _ao_check_file "$_ao_target" || status=$?
    case $status in
      0)
        printf '%s: valid; nothing to restore\n' "$file"
        [[ -z $3 ]] || { path=$(_ao_run backup "$file" '' '' bak) && printf '%s: safety backup: %s\n' "$file" "$path"; }
        return
        ;;
      1) printf '%s: corrupt: %s\n' "$file" "$_ao_why" ;;
      2)
        _ao_fail 74 "$file" "cannot be read (unchanged)" "see to its permissions"
        return
        ;;
      *) return "$status" ;;
    esac
  else
    status=66
    printf '%s: missing\n' "$file"
  fi
  _ao_backups
  for path in ${_ao_list[@]+"${_ao_list[@]}"}; do
    if _ao_check_file "$path"; then
      found=$path
      break
    fi
    printf '%s: passed over a backup: %s: %s\n' "$file" "${path#"$here"}" "${_ao_why:-it cannot be read}"
  done
  if ((status == 66)); then
    if [[ -z $found ]]; then
      _ao_fail 66 "$file" "missing, and no valid backup of it" "write it anew"
      return
    elif [[ -z $2 ]]; then
      _ao_fail 66 "$file" "missing; ${found#"$here"} is a valid backup" "restore it with --restore-missing"
      return
    fi
  else
    # The same evidence is not kept twice.
    for path in "$_ao_target".*.corrupt; do
      if [[ -f $path ]] && cmp -s -- "$path" "$_ao_target"; then evidence=$path; fi
    done
    if [[ -z $evidence ]]; then
      evidence=$(_ao_run backup "$file" '' '' corrupt && printf .) || return
      evidence=${evidence%$'\n.'}
    fi
    printf '%s: the corrupt bytes are kept in %s\n' "$file" "${evidence#"$here"}"
    if [[ -z $found ]]; then
      _ao_fail 65 "$file" "corrupt, and no valid backup of it (unchanged)" "repair it by hand from what was kept"
      return
    fi
  fi
  local _ao_text _ao_check=no like=''
  unset _ao_text
  [[ -e $_ao_target ]] || like=$found
  _ao_run write "$file" "$like" <"$found" || return
  printf '%s: restored from %s\n' "$file" "${found#"$here"}"
}

atomic_sweep() {
  if (($# != 1)); then
    _ao_usage atomic_sweep DIR
    return
  fi
  if [[ ! -d $1 ]]; then
    _ao_fail 66 "$1" "no such directory" "name one that is there"
    return
  fi
  ( # globs and the rest as we want them
    set +euf
    shopt -u failglob nullglob nocasematch
    LC_ALL=C IFS=''
    dir=${1%/} failed=0
    [[ $dir == /* || $dir == . || $dir == ./* ]] || dir=./$dir
    [[ $1 != / ]] || dir=
    _ao_wait=0
    for path in "$dir"/.*.atomicops-tmp; do
      name=${path##*/}
      stem=${name%.*.atomicops-tmp}
      hex=${name%.atomicops-tmp}
      hex=${hex##*.} stem=${stem#.}
      [[ -f $path && ! -L $path && ${#hex} == 32 && $hex != *[!0-9a-f]* && -n $stem ]] || continue
      _ao_lock=$dir/.$stem.lock _ao_fd=
      if _ao_holds; then
        status=0
      else
        _ao_take _ao_fd 0
        status=$?
      fi
      case $status in
        0)
          # Only now, under the lock, is it known to be nobody's.
          if [[ ! -e $path ]]; then :; elif rm -f -- "$path"; then
            printf 'removed %s\n' "${path#./}"
          else
            failed=74
          fi
          [[ -z $_ao_fd || $_ao_fd == held ]] || exec {_ao_fd}>&-
          ;;
        75) printf 'in use %s\n' "${path#./}" ;;
        *) failed=$status ;;
      esac
    done
    exit "$failed"
  )
}
