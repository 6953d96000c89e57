import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** Compiles the program with probes, with or without optimisation: operands differ. */
export function buildProbes(folder: string, optimisation = '-O2'): string {
  const program = join(folder, `probes${optimisation}`);
  execFileSync('cc', [optimisation, '-o', program, join(import.meta.dirname, 'probes.c')]);
  return program;
}

/** The program, running: `go` lets it do its rounds, and gives what it printed. */
export class ProbeProgram {
  readonly process: ChildProcess;
  #text = '';

  constructor(program: string, rounds: number, leak: number) {
    this.process = spawn(program, [String(rounds), String(leak)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.process.stdout?.on('data', (chunk) => {
      this.#text += chunk;
    });
  }

  get pid(): number {
    return this.process.pid as number;
  }

  async ready(): Promise<void> {
    while (!this.#text.includes('ready\n')) await once(this.process.stdout as NodeJS.ReadableStream, 'data');
  }

  /** Addresses by what the program calls them: `vq`, `vdev`, `mutex`, `leaked`. */
  async go(): Promise<Record<string, string>> {
    this.process.stdin?.write('\n');
    while (!this.#text.includes('mutex')) await once(this.process.stdout as NodeJS.ReadableStream, 'data');
    return Object.fromEntries([...this.#text.matchAll(/(\w+) (0x[\da-f]+)/g)].map(([, name, value]) => [name, value]));
  }

  end(): void {
    this.process.kill('SIGKILL');
  }
}
