//! Runs a program and records it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::elf::Program;
use crate::machine::Machine;
use crate::recording::{Moment, Recording, Registers, Word};
use crate::remote::{Remote, Stop};
use crate::shadow::{Call, Watch};

/// Bytes of stack that are recorded below the one the program begins with: more than the programs use.
const STACK: usize = 16 << 10;
/// Most instructions of a recording.
const MOST: usize = 200_000;

/// Runs a program under a server of the remote protocol: an emulator (`qemu-aarch64-static -g PORT`), or
/// `gdbserver 127.0.0.1:PORT` when the processor is this one.
///
/// # Errors
/// The program cannot be run or is not one that can be recorded.
pub fn record(path: &Path, server: &Path) -> Result<Recording> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let program = Program::read(&bytes)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(server);
    let is_emulator = server.to_string_lossy().contains("qemu");
    if is_emulator {
        command.args(["-g", &port.to_string()]);
    } else {
        command.args(["--once", &format!("127.0.0.1:{port}")]);
    }
    let child = command
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Running(child.with_context(|| format!("start {}", server.display()))?);
    let recording = run(&program, Remote::connect(port)?);
    child.end();
    recording
}

/// A server, ended when it is dropped.
struct Running(Child);

impl Running {
    fn end(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(program: &Program, mut remote: Remote) -> Result<Recording> {
    let watch = Watch {
        machine: program.machine,
        restorer: program.restorer,
        handler: program.handler,
    };
    let first = program.machine.registers(&remote.registers()?)?;
    let reach = u64::try_from(STACK)?;
    // A word or two above: the end of the stack is where the program's arguments begin.
    let stack_addr = (first.sp & !15).wrapping_sub(reach);
    let mut stack = vec![0; STACK];
    let mut recording = Recording {
        machine: program.machine,
        text_addr: program.text_addr,
        text: program.text.clone(),
        sframe_addr: program.sframe_addr,
        sframe: program.sframe.clone(),
        stack_addr,
        stack: stack.clone(),
        moments: Vec::new(),
    };
    let mut calls: Vec<Call> = Vec::new();
    let mut registers = first;
    let mut signal = None;
    loop {
        let moment = look(
            &mut remote,
            program.machine,
            registers,
            stack_addr,
            &mut stack,
            &calls,
        )?;
        recording.moments.push(moment);
        let stop = remote.step(signal.take())?;
        match stop {
            Stop::Exit(0) => return Ok(recording),
            Stop::Exit(code) => bail!("the program ended with {code}"),
            Stop::Signal(number) => signal = Some(number),
            Stop::Step => {}
        }
        let after = program.machine.registers(&remote.registers()?)?;
        let instruction = program.code(registers.pc).unwrap_or(&[]);
        if after != registers {
            watch.step(&mut calls, instruction, &registers, &after);
        }
        registers = after;
        if recording.moments.len() > MOST {
            bail!("more than {MOST} instructions");
        }
    }
}

/// What there is at an instruction, with what changed on the stack.
fn look(
    remote: &mut Remote,
    machine: Machine,
    registers: Registers,
    stack_addr: u64,
    stack: &mut [u8],
    calls: &[Call],
) -> Result<Moment> {
    let mut moment = Moment {
        registers,
        calls: calls.to_vec(),
        ..Moment::default()
    };
    for (dwarf, number) in machine.extra() {
        let bytes = remote.register(*number)?;
        let bytes = *bytes
            .first_chunk()
            .context("a register of less than 8 bytes")?;
        moment.extra.push((*dwarf, machine.word(bytes)));
    }
    // From the red zone on.
    let from = registers.sp.wrapping_sub(stack_addr + 256) & !7;
    let from = usize::try_from(from)
        .ok()
        .filter(|from| *from < stack.len());
    let from = from.context("the stack pointer is not on the recorded stack")?;
    let addr = stack_addr + u64::try_from(from)?;
    let now = remote.memory(addr, stack.len() - from)?;
    let old = stack.get_mut(from..).unwrap_or(&mut []);
    for (at, (old, now)) in old.chunks_exact_mut(8).zip(now.chunks_exact(8)).enumerate() {
        if old != now {
            old.copy_from_slice(now);
            let bytes = *now.first_chunk().context("a word")?;
            let at = u32::try_from(at + from / 8)?;
            moment.changes.push(Word { at, bytes });
        }
    }
    Ok(moment)
}
