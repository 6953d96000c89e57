import { once } from 'node:events';
import { escapeJson, escapeLines } from '../report/escape.ts';
import { type Json, json } from '../report/json.ts';
import { Terminal } from '../report/terminal.ts';
import type { TraceOptions } from './options.ts';

/** Standard output of one command. */
export class Output {
  readonly terminal: Terminal;
  /** What the user wants to read. */
  readonly form: 'text' | 'json' | 'csv';

  readonly #tabs: boolean;

  /** `tabs`: they are layout of the user's own. */
  constructor(options: Pick<TraceOptions, 'json' | 'csv' | 'color'>, { tabs = false } = {}) {
    this.#tabs = tabs;
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

  /** Writes text where nobody can wait; false where it piles up. */
  put(text: string): boolean {
    return process.stdout.write(this.#safe(text));
  }

  /** Writes text; awaiting it keeps memory flat where the reader is slower than we are. */
  async write(text: string): Promise<void> {
    if (!this.put(text)) await once(process.stdout, 'drain');
  }

  #safe(text: string): string {
    if (this.form === 'json') return escapeJson(text);
    // What is for programs stays what it is, also where the terminal has ASCII only.
    return this.form === 'csv' ? escapeLines(text, false, false) : this.terminal.text(text, this.#tabs);
  }
}
