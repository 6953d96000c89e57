import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * A guest of our own for a real QEMU under KVM: 64 KiB of firmware that stay in real mode, and do a known number of things
 * that KVM traces.
 */

/** I/O port that each round writes to once, and the address of the VGA memory that it writes to once. */
export const guestPort = 0xe9;
export const guestAddress = 0xa0000;

/** The firmware: `rounds` (at most 65535) writes to a port and to memory of the VGA, then QEMU's end. */
function firmware(rounds: number): Uint8Array {
  const body = [
    ...[0xb0, 0x76, 0xe6, guestPort], // mov al, 'v'; out port, al
    ...[0x26, 0xa2, 0x00, 0x00], // mov es:[0], al
  ];
  const code = [
    ...[0xfa, 0xb8, (guestAddress >> 4) & 0xff, guestAddress >> 12, 0x8e, 0xc0], // cli; mov ax, 0xa000; mov es, ax
    ...[0xb9, rounds & 0xff, rounds >> 8], // mov cx, rounds
    ...body,
    ...[0xe2, 256 - body.length - 2], // loop body
    ...[0x30, 0xc0, 0xe6, 0xf4], // xor al, al; out 0xf4, al: isa-debug-exit
    ...[0xf4, 0xeb, 0xfd], // hlt; jmp hlt
  ];
  const rom = new Uint8Array(1 << 16);
  rom.set(code);
  rom.set([0xea, 0x00, 0x00, 0x00, 0xf0], 0xfff0); // jmp f000:0000, where the CPU begins
  return rom;
}

/** A boot sector that reads `reads` (at most 65535) sectors from its disk, one by one, then ends QEMU. */
function bootSector(reads: number): Uint8Array {
  const packet = 0x7d90; // behind the code, where the boot sector is loaded: 0x7c00
  const body = [
    ...[0xbe, packet & 0xff, packet >> 8], // mov si, packet
    ...[0x8a, 0x16, 0x80, 0x7d], // mov dl, [drive]
    ...[0xb4, 0x42, 0xcd, 0x13], // mov ah, 0x42; int 0x13: extended read
    0x4d, // dec bp
  ];
  const code = [
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x70, 0xfb], // segments 0, a stack
    ...[0x88, 0x16, 0x80, 0x7d], // mov [drive], dl
    ...[0xbd, reads & 0xff, reads >> 8], // mov bp, reads
    ...body,
    ...[0x75, 256 - body.length - 2], // jnz body
    ...[0x30, 0xc0, 0xe6, 0xf4], // xor al, al; out 0xf4, al: isa-debug-exit
    ...[0xf4, 0xeb, 0xfd], // hlt; jmp hlt
  ];
  const disk = new Uint8Array(1 << 20);
  disk.set(code);
  disk.set([16, 0, 1, 0, 0x00, 0x80, 0, 0, 1], packet - 0x7c00); // one sector, number 1, to 0000:8000
  disk.set([0x55, 0xaa], 510);
  return disk;
}

/** A QEMU that waits to be told to begin, and ends by itself. */
export class Guest {
  readonly process: ChildProcess;
  /** When it is over. */
  readonly ended: Promise<unknown>;

  #complaint = '';

  private constructor(args: string[], name: string) {
    args.push('-display', 'none', '-device', 'isa-debug-exit,iobase=0xf4', '-S', '-monitor', 'stdio');
    args.push('-name', `guest=${name.replaceAll(',', ',,')},debug-threads=on`);
    this.process = spawn('qemu-system-x86_64', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.process.stderr?.on('data', (chunk) => {
      this.#complaint = `${this.#complaint}${chunk}`.slice(-1000);
    });
    this.ended = once(this.process, 'exit');
  }

  /** Under KVM, with so many rounds of firmware. */
  static kvm(folder: string, rounds: number, name = 'virtap-test', more: string[] = []): Guest {
    const rom = join(folder, `rom-${rounds}`);
    writeFileSync(rom, firmware(rounds));
    const args = ['-accel', 'kvm', '-M', 'pc', '-nodefaults', '-m', '16', '-bios', rom, '-device', 'VGA'];
    args.push('-chardev', 'null,id=out', '-device', `isa-debugcon,chardev=out,iobase=${guestPort}`);
    return new Guest([...args, ...more], name);
  }

  /** Emulated, with a virtio disk that the firmware reads its boot sector from, and that one so many others. */
  static disk(folder: string, reads: number, more: string[] = []): Guest {
    const disk = join(folder, `disk-${reads}`);
    writeFileSync(disk, bootSector(reads));
    const args = ['-accel', 'tcg', '-m', '32', '-net', 'none', '-drive', `file=${disk},if=virtio,format=raw`];
    return new Guest([...args, ...more], 'virtap-disk');
  }

  get pid(): number {
    return this.process.pid as number;
  }

  /** Until its monitor answers: all its threads are there, then. */
  async ready(): Promise<void> {
    // Read on to the end: QEMU dies of a monitor that nobody reads.
    await new Promise<void>((resolve, reject) => {
      this.process.stdout?.on('data', (chunk: Buffer) => {
        if (chunk.includes('(qemu)')) resolve();
      });
      this.ended.then(() => reject(new Error(`QEMU ended at once: ${this.#complaint}`)), reject);
    });
  }

  /** Lets it run. */
  begin(): void {
    this.process.stdin?.write('cont\n');
  }

  end(): void {
    this.process.kill('SIGKILL');
  }
}

/** Waits until something is so; throws after half a minute. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let n = 0; n < 3000; n++) {
    if (isSo()) return;
    await sleep(10);
  }
  throw new Error(`${what} did not happen`);
}
