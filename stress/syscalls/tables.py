"""The syscalls that are watched: their numbers, what they do, and where their operands are.

Numbers are those of ``asm/unistd_64.h`` (x86-64) and ``asm-generic/unistd.h`` (aarch64). One letter an argument:
``d`` directory descriptor of the path that follows, ``p`` path, ``f`` descriptor, ``o`` flags of open, ``a`` AT_ flags,
``t`` address of a timeout, ``.`` anything else.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from functools import cache

from stress.syscalls.errors import Denied

_ROWS = """
open              2   -  open     po
creat            85   -  create   p
openat          257  56  open     dpo
openat2         437 437  open     dp.
stat              4   -  stat     p
lstat             6   -  lstat    p
newfstatat      262  79  stat     dp.a
statx           332 291  stat     dpa
access           21   -  stat     p
faccessat       269  48  stat     dp
faccessat2      439 439  stat     dp.a
readlink         89   -  readlink p
readlinkat      267  78  readlink dp
getxattr        191   8  stat     p
lgetxattr       192   9  lstat    p
listxattr       194  11  stat     p
llistxattr      195  12  lstat    p
chdir            80  49  stat     p
rename           82   -  rename   pp
renameat        264  38  rename   dpdp
renameat2       316 276  rename   dpdpa
link             86   -  link     pp
linkat          265  37  link     dpdpa
symlink          88   -  symlink  .p
symlinkat       266  36  symlink  .dp
unlink           87   -  unlink   p
unlinkat        263  35  unlink   dpa
rmdir            84   -  rmdir    p
mkdir            83   -  make     p
mkdirat         258  34  make     dp
mknod           133   -  make     p
mknodat         259  33  make     dp
chmod            90   -  attr     p
fchmodat        268  53  attr     dp
fchmodat2       452 452  attr     dp.a
chown            92   -  attr     p
lchown           94   -  lattr    p
fchownat        260  54  attr     dp..a
utime           132   -  attr     p
utimes          235   -  attr     p
futimesat       261   -  attr     dp
utimensat       280  88  attr     dp.a
setxattr        188   5  attr     p
lsetxattr       189   6  lattr    p
removexattr     197  14  attr     p
lremovexattr    198  15  lattr    p
truncate         76  45  truncate p
lseek             8  62  read     f
read              0  63  read     f
pread64          17  67  read     f
readv            19  65  read     f
preadv          295  69  read     f
preadv2         327 286  read     f
mmap              9 222  read     ....f
write             1  64  write    f
pwrite64         18  68  write    f
writev           20  66  write    f
pwritev         296  70  write    f
pwritev2        328 287  write    f
ftruncate        77  46  write    f
fallocate       285  47  write    f
sendfile         40  71  copy     ff
copy_file_range 326 285  copy     f.f
splice          275  76  copy     f.f
getdents         78   -  list     f
getdents64      217  61  list     f
fstat             5  80  fstat    f
fgetxattr       193  10  fstat    f
fchdir           81  50  fstat    f
flistxattr      196  13  fstat    f
fchmod           91  52  fattr    f
fchown           93  55  fattr    f
fsetxattr       190   7  fattr    f
fremovexattr    199  16  fattr    f
fsync            74  82  sync     f
fdatasync        75  83  sync     f
sync_file_range 277  84  sync     f
syncfs          306 267  sync     f
flock            73  32  flock    f
fcntl            72  25  fcntl    f
close             3  57  close    f
close_range     436 436  close    ..
dup2             33   -  close    .f
dup3            292  24  close    .f
execve           59 221  exec     p
execveat        322 281  exec     dp
exit             60  93  exit
exit_group      231  94  exit
clone            56 220  spawn
fork             57   -  spawn
vfork            58   -  spawn
kill             62 129  kill
tkill           200 130  kill
tgkill          234 131  kill
rt_sigqueueinfo 129 138  kill
getpgid         121 155  group
getsid          124 156  group
pidfd_open      434 434  pidfd
getpid           39 172  identity
gettid          186 178  identity
getppid         110 173  identity
getrandom       318 278  random
clock_gettime   228 113  clock
gettimeofday     96 169  clock
time            201   -  clock
nanosleep        35 101  sleep
clock_nanosleep 230 115  sleep
select           23   -  sleep    ....t
pselect6        270  72  sleep    ....t
poll              7   -  sleep
ppoll           271  73  sleep    ..t
epoll_wait      232   -  wait
epoll_pwait     281  22  wait
epoll_pwait2    441 441  wait     ...t
futex           202  98  wait     ...t
alarm            37   -  timer
setitimer        38 103  timer
getitimer        36 102  timer
timer_create    222 107  timer
timer_settime   223 110  timer
timer_gettime   224 108  timer
timer_delete    226 111  timer
"""

REFUSED = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "timerfd_create": (283, 85),
}
"""Answered ENOSYS: libc then takes clone, whose flags are in a register; io_uring would not be seen; as to timerfd,
nothing would wake its waiters in virtual time."""


@dataclass(slots=True, eq=False)
class Watched:
    """A syscall that is watched: its name, the rule that decodes it, a letter for each operand.

    Attributes:
        needs_descriptor: Whether it can touch the shared directory through a descriptor alone, and does nothing else
            that matters.
        paths: Of each path that it takes: index of its directory's descriptor, if it has one, and of its address.
        descriptor: Index of the first descriptor that is no path's; −1 if there is none.
        is_special: Whether it can be more than a look at the shared directory, or a change of it.
    """

    name: str
    verb: str
    operands: str
    needs_descriptor: bool = False
    paths: tuple[tuple[int | None, int], ...] = field(init=False)
    descriptor: int = field(init=False)
    is_special: bool = field(init=False)

    def __post_init__(self) -> None:
        """Look at the operands once."""
        letters = self.operands
        paths = (at for at, letter in enumerate(letters) if letter == "p")
        self.paths = tuple((at - 1 if at and letters[at - 1] == "d" else None, at) for at in paths)
        self.descriptor = letters.find("f")
        self.is_special = self.verb in _SPECIAL


_ELSEWHERE = ("flock", "fcntl", "fchdir")
"""Those of a descriptor that matter also where that is of nothing in the shared directory."""
_SPECIAL = frozenset({"sleep", "wait", "close", "exit", "exec", "fcntl", "open", "create", "spawn"})


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """One architecture.

    Attributes:
        audit: Its AUDIT_ARCH number.
        seccomp, pidfd_getfd: Numbers of the syscalls of these names.
        vdso: The functions of the vDSO that matter, and the machine code that takes the place of each.
        waits: Numbers of the syscalls that wait for a child.
        watched, refused: By number.
    """

    audit: int
    seccomp: int
    pidfd_getfd: int
    vdso: dict[str, bytes]
    waits: frozenset[int]
    watched: dict[int, Watched]
    refused: frozenset[int]

    @property
    def has_local_clock(self) -> bool:
        """Whether there is code for a clock that needs no syscall."""
        return self.audit == _X86_64

    def number(self, name: str) -> int:
        """Number of a syscall that is watched."""
        return next(number for number, row in self.watched.items() if row.name == name)


def _stub(x86: bool, number: int | None) -> bytes:
    """Machine code that makes a syscall and returns; without a number, code that returns −ENOSYS."""
    if x86:
        if number is None:
            return b"\x48\xc7\xc0\xda\xff\xff\xff\xc3"  # mov $-38, %rax; ret
        return b"\xb8" + number.to_bytes(4, "little") + b"\x0f\x05\xc3"  # mov $number, %eax; syscall; ret
    if number is None:
        return _words(0x928004A0, 0xD65F03C0)  # mov x0, #-38; ret
    return _words(0xD2800008 | number << 5, 0xD4000001, 0xD65F03C0)  # mov x8, #number; svc #0; ret


def _words(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7


@cache
def machine(name: str | None = None) -> Machine:
    """The tables of this architecture, or of ``name`` as ``uname -m`` says it.

    Raises:
        Denied: There are none.
    """
    name = name or platform.machine()
    if name not in ("x86_64", "aarch64"):
        raise Denied(f"no table of syscalls for {name}", "use a machine that is x86_64 or aarch64")
    column = 1 if name == "x86_64" else 2
    watched = {}
    for line in _ROWS.strip().splitlines():
        cells = line.split()
        if cells[column] != "-":
            operands = cells[4] if len(cells) > 4 else ""
            needs = cells[3] == "close" or ("f" in operands and "p" not in operands and cells[0] not in _ELSEWHERE)
            watched[int(cells[column])] = Watched(cells[0], cells[3], operands, needs)
    numbers = {row.name: number for number, row in watched.items()}
    prefix = "__vdso" if column == 1 else "__kernel"
    vdso = {
        f"{prefix}_{call}": _stub(column == 1, numbers[call])
        for call in ("clock_gettime", "gettimeofday", "time")
        if call in numbers
    }
    vdso[f"{prefix}_getrandom"] = _stub(column == 1, None)  # libc then makes the syscall
    return Machine(
        audit=_X86_64 if column == 1 else _AARCH64,
        seccomp=317 if column == 1 else 277,
        pidfd_getfd=438,
        vdso=vdso,
        waits=frozenset((61, 247) if column == 1 else (260, 95)),
        watched=watched,
        refused=frozenset(pair[column - 1] for pair in REFUSED.values()),
    )
