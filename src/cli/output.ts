import { once } from 'node:events';
import { Terminal } from '../report/terminal.ts';
import type { TraceOptions } from './options.ts';

/** Standard output of one command. */
export class Output {
  readonly terminal: Terminal;
  /** What the user wants to read. */
  readonly form: 'text' | 'json' | 'csv';

  constructor(options: Pick<TraceOptions, 'json' | 'csv' | 'color'>) {
    this.form = options.json === true ? 'json' : options.csv === true ? 'csv' : 'text';
    const { stdout, env } = process;
    this.terminal = new Terminal({ isTTY: stdout.isTTY, columns: stdout.columns, env, color: options.color });
  }

  /** Writes text; awaiting it keeps memory flat where the reader is slower than we are. */
  async write(text: string): Promise<void> {
    if (!process.stdout.write(this.form === 'text' ? this.terminal.text(text) : text)) {
      await once(process.stdout, 'drain');
    }
  }
}
