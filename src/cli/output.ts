import { once } from 'node:events';
import { type Json, json } from '../report/json.ts';
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

  /** Writes an answer in the form that the user wants. */
  async answer(forms: { json: () => Json; csv: () => string; text: (terminal: Terminal) => string }): Promise<void> {
    if (this.form === 'json') await this.write(json(forms.json()));
    else if (this.form === 'csv') await this.write(forms.csv());
    else await this.write(forms.text(this.terminal));
  }

  /** Writes text; awaiting it keeps memory flat where the reader is slower than we are. */
  async write(text: string): Promise<void> {
    if (!process.stdout.write(this.form === 'text' ? this.terminal.text(text) : text)) {
      await once(process.stdout, 'drain');
    }
  }
}
