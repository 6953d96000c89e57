import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { LiveError } from './live-error.ts';

/*
 * QEMU's monitor for programs. Source: QEMU docs/interop/qmp-spec.rst, qapi/trace.json.
 */

/** A monitor that takes commands. */
export interface Monitor {
  /** Runs a command and gives what it returns. Throws a LiveError where QEMU refuses it or does not answer. */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown>;
  close(): void;
}

/** How a monitor is reached, for whoever has to reach it later. */
export type MonitorAddress = { socket: string } | { domain: string };

/** How long a monitor may take to answer, in ms. */
const answerTimeout = 2000;
/** Answers longer than that are not QEMU's. */
const longest = 16 << 20;

/**
 * Where the monitor of a QEMU process can be reached: its own socket, or libvirt, which holds that itself. Undefined where
 * nowhere. What the process says of itself is only believed so far as to look there.
 */
export function findMonitor(
  pid: number,
  name: string,
  uuid: string | undefined,
  proc = '/proc',
): MonitorAddress | undefined {
  let args: string[];
  let folder: string;
  try {
    args = readFileSync(join(proc, String(pid), 'cmdline'), 'utf8').split('\0');
    folder = readlinkSync(join(proc, String(pid), 'cwd'));
  } catch {
    return undefined;
  }
  const path = monitorPath(args);
  if (path !== undefined) return { socket: join(path.startsWith('/') ? '/' : folder, path) };
  const libvirts = args.some((arg) => /^socket,id=charmonitor,fd=\d+/.test(arg));
  return libvirts && installed('virsh') ? { domain: uuid ?? name } : undefined;
}

/** The Unix socket of the monitor in a QEMU command line: `-qmp unix:PATH,…`, or `-mon` with a `-chardev socket,path=…`. */
export function monitorPath(args: readonly string[]): string | undefined {
  const values = (option: string) =>
    args.flatMap((arg, i) => (arg.replace(/^--/, '-') === option ? [args[i + 1] ?? ''] : []));
  for (const value of [...values('-qmp'), ...values('-qmp-pretty')]) {
    const [first = ''] = options(value);
    if (first.startsWith('unix:')) return first.slice('unix:'.length);
  }
  const controls = values('-mon')
    .map(options)
    .filter((parts) => parts.includes('mode=control'));
  const ids = controls.flatMap((parts) => parts.flatMap((part) => /^chardev=(.+)$/.exec(part)?.[1] ?? []));
  for (const parts of values('-chardev').map(options)) {
    const path = parts.find((part) => part.startsWith('path='))?.slice('path='.length);
    if (path !== undefined && parts[0] === 'socket' && ids.some((id) => parts.includes(`id=${id}`))) return path;
  }
  return undefined;
}

/** The parts of an option's value. `,,` is a comma; no argument holds a NUL. */
function options(value: string): string[] {
  return value
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
}

/** Reaches a monitor. Throws a LiveError where that cannot be. */
export async function openMonitor(address: MonitorAddress): Promise<Monitor> {
  return 'socket' in address ? await SocketMonitor.open(address.socket) : new VirshMonitor(address.domain);
}

/** A QMP socket of our own. */
class SocketMonitor implements Monitor {
  readonly #socket: Socket;
  readonly #path: string;
  #text = '';
  #failure: LiveError | undefined;
  #waiting: ((message: Record<string, unknown>) => boolean)[] = [];
  #wake: (() => void) | undefined;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('QEMU closed it'));
  }

  static async open(path: string): Promise<SocketMonitor> {
    const monitor = new SocketMonitor(connect(path), path);
    try {
      // Nothing is sent to whom does not greet as QEMU does. It greets one client at a time.
      await monitor.#until((message) => 'QMP' in message, 'it does not greet: another program holds it');
      await monitor.execute('qmp_capabilities');
    } catch (error) {
      monitor.close();
      throw error;
    }
    return monitor;
  }

  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const answer = await this.#until((message) => 'return' in message || 'error' in message, `no answer to ${command}`);
    return resultOf(answer, command);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The next message for which `fits` holds; events come at any time, and are nobody's answer. */
  async #until(fits: (message: Record<string, unknown>) => boolean, problem: string): Promise<Record<string, unknown>> {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#error(problem)), answerTimeout);
      const end = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        this.#waiting = [];
      };
      this.#wake = () => {
        end();
        reject(this.#failure);
      };
      if (this.#failure !== undefined) return this.#wake();
      this.#waiting.push((message) => {
        if (!fits(message)) return false;
        end();
        resolve(message);
        return true;
      });
    });
  }

  #take(text: string): void {
    this.#text += text;
    if (this.#text.length > longest) this.#fail('it sends more than an answer');
    if (!text.includes('\n')) return;
    const lines = this.#text.split('\n');
    this.#text = lines.pop() as string;
    for (const line of lines) {
      try {
        const message: unknown = parsed(line);
        if (typeof message === 'object' && message !== null) this.#waiting[0]?.(message as Record<string, unknown>);
      } catch {
        this.#fail('it does not speak QMP');
      }
    }
  }

  #fail(problem: string): void {
    this.#failure ??= this.#error(problem);
    this.#wake?.();
    this.#socket.destroy();
  }

  #error(problem: string): LiveError {
    return new LiveError(`QEMU's monitor ${this.#path}: ${problem}`);
  }
}

/** The monitor of a libvirt guest, by way of libvirt, which holds it. */
class VirshMonitor implements Monitor {
  readonly #domain: string;

  constructor(domain: string) {
    this.#domain = domain;
  }

  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const json = JSON.stringify({ execute: command, arguments: args });
    // No shell: the name is an argument, whatever it holds.
    const line = ['--quiet', 'qemu-monitor-command', `--domain=${this.#domain}`, `--cmd=${json}`];
    const text = await new Promise<string>((resolve, reject) => {
      execFile('virsh', line, { timeout: answerTimeout, maxBuffer: longest }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new LiveError(`virsh qemu-monitor-command: ${stderr.trim().split('\n')[0] || error.message}`));
      });
    });
    try {
      return resultOf(parsed(text) as Record<string, unknown>, command);
    } catch (error) {
      if (error instanceof LiveError) throw error;
      throw new LiveError('virsh qemu-monitor-command: it does not answer as QEMU does');
    }
  }

  close(): void {}
}

function resultOf(answer: Record<string, unknown>, command: string): unknown {
  if ('return' in answer) return answer.return;
  const { desc } = (answer.error ?? {}) as { desc?: unknown };
  throw new LiveError(`QEMU refuses ${command}: ${String(desc)}`);
}

function installed(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)));
}

/** JSON whose text is Unicode: half of a pair, which only an escape can say, is no character. */
function parsed(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) => (typeof value === 'string' ? value.toWellFormed() : value));
}
