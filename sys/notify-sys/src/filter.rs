//! The program that decides which system calls are sent to the listener.
//!
//! A classic BPF program over `struct seccomp_data`. Calls of other ABIs than the native one (32
//! bit, x32) are let through: their numbers mean other calls. Only what could restart the real
//! machine is refused there.

use rustix::io::Errno;

/// One instruction, `struct sock_filter` of `include/uapi/linux/filter.h`, v7.3.
pub(crate) type Instruction = libc::sock_filter;

// `include/uapi/linux/bpf_common.h`, v7.3: a load of a 32-bit word, the jumps, the answer.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
#[cfg(target_arch = "x86_64")]
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`.
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;

// `SECCOMP_RET_*`.
const ALLOW: u32 = 0x7fff_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ERRNO: u32 = 0x0005_0000;
/// `ENOSYS`, asm-generic.
const ENOSYS: u32 = 38;

/// `AUDIT_ARCH_X86_64`.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64`.
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// The 32-bit ABI of the same kernel, and its `reboot`, `kexec_load` and, where it has one,
/// `kexec_file_load`: `arch/x86/entry/syscalls/syscall_32.tbl`, v7.3.
#[cfg(target_arch = "x86_64")]
const FOREIGN: (u32, &[u32]) = (0x4000_0003, &[88, 283]);
/// As above: `arch/arm/tools/syscall.tbl`, v7.3.
#[cfg(target_arch = "aarch64")]
const FOREIGN: (u32, &[u32]) = (0x4000_0028, &[88, 347, 401]);

/// Calls of the x32 ABI have this bit; the same three calls in
/// `arch/x86/entry/syscalls/syscall_64.tbl`, v7.3 (`kexec_load` has a number of its own there).
#[cfg(target_arch = "x86_64")]
const X32: (u32, &[u32]) = (0x4000_0000, &[169, 246, 320, 528]);

/// Longest program: `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// A condition on the low 32 bits of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgTest {
    /// Index of the argument, from 0 to 5.
    pub index: u8,
    /// What of it is looked at.
    pub mask: u32,
    /// What that must be.
    pub value: u32,
}

/// Which system calls are sent to the listener.
#[derive(Clone, Debug)]
pub struct Filter {
    program: Vec<Instruction>,
}

/// More rules than fit into a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter would have {instructions} instructions, the kernel takes at most 4096")]
pub struct FilterTooLong {
    /// Length of the program.
    pub instructions: usize,
}

impl Filter {
    /// Sends no call.
    pub fn new() -> Self {
        let mut filter = Self {
            program: Vec::new(),
        };
        filter.load(OFFSET_ARCH);
        let foreign = refusals(FOREIGN.1);
        // Native: over the whole foreign part.
        filter.jump(JUMP_EQUAL, NATIVE, 2 + foreign.len() + 1, 0);
        filter.jump(JUMP_EQUAL, FOREIGN.0, 1, 0);
        filter.answer(ALLOW);
        filter.program.extend(foreign);
        filter.answer(ALLOW);
        filter.load(OFFSET_NR);
        #[cfg(target_arch = "x86_64")]
        {
            let x32: Vec<u32> = X32.1.iter().map(|nr| nr | X32.0).collect();
            let mut x32 = refusals(&x32);
            // The number is loaded already.
            x32.remove(0);
            filter.jump(JUMP_AT_LEAST, X32.0, 0, x32.len() + 1);
            filter.program.extend(x32);
            filter.answer(ALLOW);
        }
        filter
    }

    /// Sends every call of this number.
    #[must_use]
    pub fn notify(mut self, nr: u32) -> Self {
        self.jump(JUMP_EQUAL, nr, 0, 1);
        self.answer(NOTIFY);
        self
    }

    /// Sends the calls of this number for which one of the tests is true.
    #[must_use]
    pub fn notify_if(mut self, nr: u32, tests: &[ArgTest]) -> Self {
        let tests: Vec<&ArgTest> = tests.iter().take(32).collect();
        self.jump(JUMP_EQUAL, nr, 0, 4 * tests.len() + 1);
        for test in tests {
            self.load(OFFSET_ARGS + 8 * u32::from(test.index % 6));
            self.push(AND, 0, 0, test.mask);
            self.jump(JUMP_EQUAL, test.value, 0, 1);
            self.answer(NOTIFY);
        }
        self.answer(ALLOW);
        self
    }

    /// Answers every call of this number with an error.
    #[must_use]
    pub fn refuse(mut self, nr: u32, errno: Errno) -> Self {
        let errno = u32::try_from(errno.raw_os_error()).unwrap_or(ENOSYS) & 0xffff;
        self.jump(JUMP_EQUAL, nr, 0, 1);
        self.answer(ERRNO | errno);
        self
    }

    /// The program: what no rule is about is let through.
    pub(crate) fn finish(&self) -> Result<Vec<Instruction>, FilterTooLong> {
        let mut whole = self.clone();
        whole.answer(ALLOW);
        let instructions = whole.program.len();
        if instructions > MAX_INSTRUCTIONS {
            return Err(FilterTooLong { instructions });
        }
        Ok(whole.program)
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.program.push(Instruction { code, jt, jf, k });
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, 0, 0, offset);
    }

    /// Every jump is over a few instructions: at most 32 tests of 4, or the refusals above.
    fn jump(&mut self, code: u16, k: u32, if_true: usize, if_false: usize) {
        let short = |jump: usize| u8::try_from(jump).unwrap_or(u8::MAX);
        self.push(code, short(if_true), short(if_false), k);
    }

    fn answer(&mut self, answer: u32) {
        self.push(RETURN, 0, 0, answer);
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

/// Loads the number and refuses these.
fn refusals(numbers: &[u32]) -> Vec<Instruction> {
    let mut part = Filter {
        program: Vec::new(),
    };
    part.load(OFFSET_NR);
    for &nr in numbers {
        part = part.refuse(nr, Errno::NOSYS);
    }
    part.program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel does.
    fn run(filter: &Filter, nr: u32, arch: u32, args: [u64; 6]) -> u32 {
        let program = filter.finish().unwrap();
        let mut data = Vec::new();
        data.extend_from_slice(&nr.to_ne_bytes());
        data.extend_from_slice(&arch.to_ne_bytes());
        data.extend_from_slice(&[0; 8]);
        for arg in args {
            data.extend_from_slice(&arg.to_ne_bytes());
        }
        let word = |at: u32| {
            let at = at as usize;
            u32::from_ne_bytes(data[at..at + 4].try_into().unwrap())
        };
        let (mut pc, mut a) = (0, 0);
        loop {
            let it = program[pc];
            pc += 1;
            let is_true = match it.code {
                LOAD => {
                    a = word(it.k);
                    continue;
                }
                AND => {
                    a &= it.k;
                    continue;
                }
                RETURN => return it.k,
                JUMP_EQUAL => a == it.k,
                // JUMP_AT_LEAST, of the x32 part.
                0x35 => a >= it.k,
                other => panic!("instruction {other:#x}"),
            };
            pc += usize::from(if is_true { it.jt } else { it.jf });
        }
    }

    fn filter() -> Filter {
        let ioctl = |value| ArgTest {
            index: 1,
            mask: 0xffff_ff00,
            value,
        };
        Filter::new()
            .notify(257)
            .notify_if(16, &[ioctl(0xba00), ioctl(0x5400)])
            .refuse(246, Errno::NOSYS)
            .notify(169)
    }

    #[test]
    fn rules_are_found_wherever_they_stand_and_the_rest_is_let_through() {
        let native = |nr, args| run(&filter(), nr, NATIVE, args);
        assert_eq!(native(257, [0; 6]), NOTIFY);
        assert_eq!(native(169, [0; 6]), NOTIFY);
        assert_eq!(native(246, [0; 6]), ERRNO | ENOSYS);
        assert_eq!(native(1, [0xba00; 6]), ALLOW);
    }

    #[test]
    fn an_argument_is_compared_under_its_mask_and_without_its_upper_half() {
        let ioctl = |cmd| run(&filter(), 16, NATIVE, [0, cmd, 0, 0, 0, 0]);
        assert_eq!(ioctl(0xba43), NOTIFY);
        assert_eq!(ioctl(0x5401), NOTIFY);
        assert_eq!(ioctl(0xbb00), ALLOW);
        // The command is an unsigned int: the kernel drops what is above.
        assert_eq!(ioctl(0xffff_ffff_0000_ba00), NOTIFY);
    }

    #[test]
    fn another_abi_is_let_through_except_what_restarts_the_machine() {
        let (arch, calls) = FOREIGN;
        assert_eq!(run(&filter(), 257, arch, [0; 6]), ALLOW);
        for &nr in calls {
            assert_eq!(run(&filter(), nr, arch, [0; 6]), ERRNO | ENOSYS);
        }
        assert_eq!(run(&filter(), 257, 0x1234, [0; 6]), ALLOW);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn x32_calls_are_not_taken_for_native_ones() {
        let x32 = |nr: u32| run(&filter(), nr | X32.0, NATIVE, [0; 6]);
        assert_eq!(x32(257), ALLOW);
        for &nr in X32.1 {
            assert_eq!(x32(nr), ERRNO | ENOSYS);
        }
    }

    #[test]
    fn a_program_longer_than_the_kernel_takes_is_refused() {
        let filter = (0..3000).fold(Filter::new(), Filter::notify);
        assert!(filter.finish().is_err());
    }
}
