import { escapeLines, styleMark } from './escape.ts';

/** When to colour, as the user says with --color. */
export type ColorChoice = 'auto' | 'always' | 'never';

/** A colour as red, green, blue, 0–255 each. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** Styles by meaning, so that the same thing looks the same in every command. */
export type Style = 'heading' | 'dim' | 'good' | 'bad' | 'warn' | 'strong';

/** What begins and what ends each (ECMA-48, SGR). */
const styles: Record<Style, readonly [begin: string, end: string]> = {
  heading: ['1;4', '22;24'],
  strong: ['1', '22'],
  dim: ['2', '22'],
  good: ['32', '39'],
  bad: ['31', '39'],
  warn: ['33', '39'],
};

/** A change of style within text, which only `Terminal.text` makes an escape sequence of. */
const sgr = (codes: string) => `${styleMark}[${codes}m`;

/** What a Terminal is made from; a subset of process.stdout and process.env, so that tests can give their own. */
export type TerminalSource = {
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  env: Record<string, string | undefined>;
  color?: ColorChoice | undefined;
};

/** Where text goes: how wide it is, how many colours it has, and whether it shows more than ASCII. */
export class Terminal {
  /** True for a terminal, false for a pipe or file. */
  readonly interactive: boolean;
  /** Columns for pictures: the terminal's, or COLUMNS; 80 where neither is known. */
  readonly width: number;
  /** Columns for tables: the same, but unlimited in a pipe or file, where nothing should be cut. */
  readonly tableWidth: number;
  /** Bits of colour: 1 none, 4 for 16 colours, 8 for 256, 24 for truecolor. */
  readonly colors: 1 | 4 | 8 | 24;
  readonly unicode: boolean;

  constructor(source: TerminalSource) {
    const { env } = source;
    this.interactive = source.isTTY === true;
    const asked = /^\d+$/.test(env.COLUMNS ?? '') ? Number(env.COLUMNS) : 0;
    const known = asked > 0 ? asked : this.interactive ? (source.columns ?? 80) : 0;
    this.width = known > 0 ? Math.max(20, Math.min(known, 10_000)) : 80;
    this.tableWidth = known > 0 ? this.width : Number.POSITIVE_INFINITY;
    this.colors = colorDepth(source);
    const locale = env.LC_ALL || env.LC_CTYPE || env.LANG;
    this.unicode = locale === undefined || /utf-?8/i.test(locale);
  }

  /** Text in a style, or as it is where there are no colours. */
  style(style: Style, text: string): string {
    if (this.colors === 1) return text;
    const [begin, end] = styles[style];
    return sgr(begin) + text + sgr(end);
  }

  /** Text in colours of the caller's own, in the nearest that the terminal has. */
  paint(text: string, foreground: Rgb | undefined, background: Rgb | undefined): string {
    if (this.colors === 1 || (foreground === undefined && background === undefined)) return text;
    const codes: string[] = [];
    if (foreground !== undefined) codes.push(this.#code(foreground, 38));
    if (background !== undefined) codes.push(this.#code(background, 48));
    return sgr(codes.join(';')) + text + sgr('0');
  }

  /**
   * Text as it goes out to this terminal: the one place where styles become escape sequences, where everything else that could steer
   * or deceive a terminal is escaped, and where ASCII takes the place of what it cannot show. `tabs` pass where they are layout.
   */
  text(text: string, tabs = false): string {
    const safe = escapeLines(text, this.colors > 1, tabs);
    return this.unicode ? safe : ascii(safe);
  }

  #code(color: Rgb, layer: 38 | 48): string {
    if (this.colors === 24) return `${layer};2;${color.map((c) => Math.round(c)).join(';')}`;
    if (this.colors === 8) return `${layer};5;${nearest256(color)}`;
    const [r, g, b] = color;
    const bright = Math.max(r, g, b) > 191 ? 60 : 0;
    return String(layer - 8 + bright + (r > 95 ? 1 : 0) + (g > 95 ? 2 : 0) + (b > 95 ? 4 : 0));
  }
}

/**
 * --color first, then FORCE_COLOR and NO_COLOR (no-color.org), then whether it is a terminal. How many colours: what
 * Node finds in COLORTERM, TERM and so on; 256 where colours are forced and nothing is known.
 */
function colorDepth(source: TerminalSource): 1 | 4 | 8 | 24 {
  const { NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS: _, ...env } = source.env;
  if (source.color === 'never') return 1;
  const forced = { 0: 1, false: 1, 1: 4, 2: 8, 3: 24 }[FORCE_COLOR ?? ''] as 1 | 4 | 8 | 24 | undefined;
  if (source.color !== 'always') {
    if (forced === 1) return 1;
    if (FORCE_COLOR === undefined && ((NO_COLOR ?? '') !== '' || source.isTTY !== true)) return 1;
  }
  if (forced !== undefined && forced > 1) return forced;
  // Loaded here, as most output goes to no terminal.
  const { WriteStream } = process.getBuiltinModule('node:tty');
  const found = WriteStream.prototype.getColorDepth.call(Object.create(WriteStream.prototype), env) as 1 | 4 | 8 | 24;
  const force = source.color === 'always' || FORCE_COLOR !== undefined;
  return found === 1 && force ? 8 : found;
}

/** xterm's 256 colours: a 6×6×6 cube from 16 on (levels 0, 95, 135 … 255), then 24 greys from 232 on (8, 18 … 238). */
function nearest256(color: Rgb): number {
  const levels = [0, 95, 135, 175, 215, 255];
  const nearestLevel = (c: number) => {
    let best = 0;
    for (let i = 1; i < 6; i++) {
      if (Math.abs((levels[i] as number) - c) < Math.abs((levels[best] as number) - c)) best = i;
    }
    return best;
  };
  const [r, g, b] = color.map(nearestLevel) as [number, number, number];
  const grey = Math.max(0, Math.min(23, Math.round(((color[0] + color[1] + color[2]) / 3 - 8) / 10)));
  const distance = (other: readonly number[]) => color.reduce((sum, c, i) => sum + (c - (other[i] as number)) ** 2, 0);
  const cube = [levels[r], levels[g], levels[b]] as number[];
  const greyLevel = 8 + 10 * grey;
  return distance(cube) <= distance([greyLevel, greyLevel, greyLevel]) ? 16 + 36 * r + 6 * g + b : 232 + grey;
}

const plain: Record<string, string> = {
  µ: 'u',
  '…': '...',
  '–': '-',
  '—': '-',
  '−': '-',
  '→': '->',
  '←': '<-',
  '↑': '^',
  '↓': 'v',
  '·': '.',
  '•': '*',
  '×': 'x',
  '≤': '<=',
  '≥': '>=',
  '∞': 'inf',
  '±': '+-',
  '’': "'",
  '─': '-',
  '│': '|',
  '┼': '+',
  '┤': '+',
  '├': '+',
  '└': '+',
  '┌': '+',
  '┐': '+',
  '┘': '+',
  '┴': '+',
  '┬': '+',
};

function ascii(text: string): string {
  return text.replace(/[^\n\t\x1b\x20-\x7e]/gu, (c) => plain[c] ?? (/\p{M}/u.test(c) ? '' : '?'));
}

/** How many columns a text takes: styles none, combining marks none, East Asian wide characters and emoji two. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const c of text.replace(/\udfff\[[0-9;]*m/g, '')) {
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(c)) continue;
    width += wide.test(c) ? 2 : 1;
  }
  return width;
}

/** The blocks whose characters are wide or fullwidth (Unicode, EastAsianWidth.txt), and emoji. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** Text cut to that many columns, with `…` where something was cut. For text without styles. */
export function truncate(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  if (width <= 0) return '';
  let out = '';
  let used = 1;
  for (const c of text) {
    used += displayWidth(c);
    if (used > width) break;
    out += c;
  }
  return `${out}…`;
}

/** The same, with what is left out at the beginning: for paths, whose end tells most. */
export function truncateStart(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  if (width <= 0) return '';
  let out = '';
  let used = 1;
  for (const c of [...text].reverse()) {
    used += displayWidth(c);
    if (used > width) break;
    out = c + out;
  }
  return `…${out}`;
}

/** Breaks a sentence at its blanks into lines that fit the width, all indented. */
export function wrap(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.trim().split(' ')) {
    if (line !== '' && indent + displayWidth(line) + 1 + displayWidth(word) > width) {
      lines.push(' '.repeat(indent) + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, ' '.repeat(indent) + line];
}
