import { kernelTextExact, kernelTextFit } from './kernel-text.ts';
import { decodeText } from './text-reader.ts';

/*
 * Text that a mail program or a terminal wrapped: the lines that belong together are put together again before anything is read of them, so
 * that the first sample of an event is a whole one. A line was wrapped where its first word would not have had room on the line before,
 * which all lines of a text have in common; what a line holds decides where that is not sure.
 */

/** Lines that are looked at as halves of a wrapped one are no longer than this, and arguments of those that were wrapped no shorter. */
export const longestWrapped = 4096;
export const shortestWrapped = 20;
/** How the rest of an event's line begins where nobody knows its form. */
export const continuation = /^(\w+=|0x[0-9a-f]+\b|[,)\]])/i;
/** Where an event's name stands in its line, and what follows it. */
type EventPlace = { nameStart: number; nameEnd: number; payloadStart: number };

/** How a format knows its lines. */
export type LineTeller = {
  /** Where the parts of an event lie; undefined where a line is none. */
  event(bytes: Uint8Array, start: number, end: number): EventPlace | undefined;
  /** Whether a line that is none is another that stands for itself, as one of a call chain. */
  own(bytes: Uint8Array, start: number, end: number): boolean;
  /** How much of an event a text is: more, the more of its values are whole; 0 where it is none. Without: as of the kernel's events. */
  worth?(text: Uint8Array): number;
  /** Whether a text begins as a line of an event does, though the event's name may be cut. */
  begins?(text: string): boolean;
};

type Line = {
  start: number;
  end: number;
  /** Where it ends with the spaces behind it. */
  full: number;
  /** Where its text begins, after spaces and the quote marks of a mail. */
  content: number;
  kind: 'event' | 'open' | 'own';
};

/** What of a thread, a CPU and a time stands at the beginning of each event. */
const lineBegins = /^.{0,60}?(?:\[\d{3,4}\] | \d+\.\d{6,9}: )/;

type Block = { first: number; count: number; text: Uint8Array };

/** Such a part of the lines that were cut in a terminal are events. */
const mostlyCut = 0.9;
/** Lines that fit together better with spaces between, for each that does without. */
const mostWorse = 0.02;
/** Lines that are compared to find out how wide the text is. */
const mostCompared = 512;
/** So many of them, and such a part of them, make sure that they were wrapped. */
const enoughWrapped = 3;
const mostlyWrapped = 0.6;

const space = 0x20;
const ownLine = /^(=> |#|\||CPU:\d+ \[|\[(LOST |\d+ EVENTS)|cpus=\d|version = \d)/;

export class Unwrapper {
  readonly #tell: LineTeller;
  /** How often an event showed that a word was cut. */
  #cutWords = 0;
  #cuts = false;

  constructor(tell: LineTeller) {
    this.#tell = tell;
  }

  /** Whether an input that begins like this may be wrapped: something follows a line that stands for nothing by itself. */
  mayBeWrapped(head: Uint8Array): boolean {
    const lines = this.#linesIn(head, 0, head.length);
    return lines.some(({ kind }, i) => kind === 'open' && i > 0 && lines[i - 1]?.kind !== 'own');
  }

  /** Whether an input that begins like this was cut in a terminal. */
  isCut(head: Uint8Array): boolean {
    const lines = this.#linesIn(head, 0, head.length);
    return lines.some(({ kind }) => kind === 'open') && this.#cutAt(head, lines) !== undefined;
  }

  /** Puts the lines from `start` to `end` that were cut in a terminal together again, in place, with spaces before them. Gives how many were joined with the ones before. */
  uncut(bytes: Uint8Array, start: number, end: number): number {
    const lines = this.#linesIn(bytes, start, end);
    return this.#put(bytes, lines, this.#cutAt(bytes, lines) ?? []);
  }

  #put(bytes: Uint8Array, lines: readonly Line[], blocks: readonly Block[]): number {
    let joined = 0;
    for (const { first, count, text } of blocks) {
      put(bytes, lines[first] as Line, lines[first + count - 1] as Line, text);
      joined += count - 1;
    }
    return joined;
  }

  /** Puts the whole lines from `start` to `end` together again, in place, with spaces before them. Gives how many were joined with the ones before. */
  unwrap(bytes: Uint8Array, start: number, end: number): number {
    const lines = this.#linesIn(bytes, start, end);
    const blocks = this.#cutAt(bytes, lines);
    if (blocks !== undefined) return this.#put(bytes, lines, blocks);
    const width = widthOf(bytes, lines);
    // Whether words were cut, too, shows where what is known of an event fits only without a space between.
    this.#cutWords = 0;
    this.#cuts = false;
    if (width.full) for (let i = 0; i < lines.length; ) i += this.#block(bytes, lines, i, width).count;
    this.#cuts = this.#cutWords > 0;
    width.full = this.#cuts;
    let joined = 0;
    for (let i = 0; i < lines.length; ) {
      const { count, text } = this.#block(bytes, lines, i, width);
      if (count > 1) {
        put(bytes, lines[i] as Line, lines[i + count - 1] as Line, text);
        joined += count - 1;
      }
      i += count;
    }
    return joined;
  }

  /**
   * The lines that belong together where a terminal cut them: then each line that is as wide as any goes on in the next.
   * Undefined where that does not make events of nearly all of them, or where words fit together better with spaces between.
   */
  #cutAt(bytes: Uint8Array, lines: readonly Line[]): Block[] | undefined {
    const width = lines.reduce((most, line) => Math.max(most, line.full - line.start), 0);
    const indent = lines.reduce(
      (least, { start, content, end }) => (content === end ? least : Math.min(least, content - start)),
      Number.POSITIVE_INFINITY,
    );
    const blocks: Block[] = [];
    let [events, better, worse, joints, filled] = [0, 0, 0, 0, 0];
    for (let i = 0; i < lines.length; ) {
      const first = lines[i] as Line;
      let text = bytes.subarray(first.start, first.full);
      let spaced = text;
      let count = 1;
      let last = first;
      for (let next = lines[i + 1]; next !== undefined && text.length < longestWrapped; next = lines[i + count]) {
        const missing = width - (last.full - last.start);
        const rest = bytes.subarray(Math.min(next.full, next.start + indent), next.full);
        const joined = missing > 0 ? join(text.subarray(0, trimmed(text)), rest, ' ') : join(text, rest, '');
        if (!this.#isRest(bytes, next, missing, text, joined)) break;
        text = joined;
        spaced = join(spaced, rest, ' ');
        last = next;
        count++;
        joints++;
        if (missing <= 1) filled++;
      }
      if (count > 1) {
        blocks.push({ first: i, count, text });
        const [own, other] = [this.#worth(text), this.#worth(spaced)];
        if (own > 0) events++;
        if (own > other) better++;
        else if (own < other) worse++;
      }
      i += count;
    }
    const sure =
      events >= mostlyCut * blocks.length && filled >= joints / 2 && better > 0 && worse <= better * mostWorse;
    return sure ? blocks : undefined;
  }

  /** Whether a line goes on with the text before it, whose last line lacks so much of the width: spaces at an end are often lost. */
  #isRest(bytes: Uint8Array, next: Line, missing: number, text: Uint8Array, joined: Uint8Array): boolean {
    if (next.content === next.end) return false;
    const isEvent = this.#worth(text) > 0;
    if (next.kind === 'own') return missing === 0 && (!isEvent || this.#worth(joined) > this.#worth(text));
    const words = decodeText(bytes, next.content, next.end);
    if (missing > 0 && (next.kind === 'event' || isProse(words))) return false;
    const begins = (line: string) => this.#tell.begins?.(line) ?? lineBegins.test(line);
    if (isEvent) return !begins(words);
    return missing === 0 || this.#worth(joined) > 0 || begins(decodeText(text, 0, text.length));
  }

  /** How much of an event a text is: more, the more of its values are whole; 0 where it is none. */
  #worth(text: Uint8Array): number {
    if (this.#tell.worth !== undefined) return this.#tell.worth(text);
    const place = this.#tell.event(text, 0, text.length);
    if (place === undefined) return 0;
    const { nameStart, nameEnd, payloadStart } = place;
    const name = decodeText(text, nameStart, nameEnd).replace(/^.*:/, '');
    const exact = kernelTextExact(name, text, payloadStart, text.length);
    return 1 + (exact ?? (isNamed(decodeText(text, payloadStart, text.length)) ? 1 : 0));
  }

  #linesIn(bytes: Uint8Array, from: number, to: number): Line[] {
    const lines: Line[] = [];
    for (let start = from; start < to; ) {
      const newline = bytes.indexOf(0x0a, start);
      if (newline < 0 || newline >= to) break;
      let end = newline;
      while (end > start && (bytes[end - 1] === space || bytes[end - 1] === 0x0d)) end--;
      const content = contentOf(bytes, start, end);
      const full = newline > start && bytes[newline - 1] === 0x0d ? newline - 1 : newline;
      lines.push({ start, end, full, content, kind: this.#kindOf(bytes, start, content, end) });
      start = newline + 1;
    }
    return lines;
  }

  #kindOf(bytes: Uint8Array, start: number, content: number, end: number): Line['kind'] {
    if (content === end || end - start > longestWrapped) return 'own';
    if (this.#tell.event(bytes, start, end) !== undefined) return 'event';
    const begin = decodeText(bytes, content, Math.min(end, content + 40));
    return ownLine.test(begin) || this.#tell.own(bytes, start, end) ? 'own' : 'open';
  }

  /** How many lines from `i` on are one, and their text. */
  #block(bytes: Uint8Array, lines: readonly Line[], i: number, width: Width): { count: number; text: Uint8Array } {
    const first = lines[i] as Line;
    let text = bytes.subarray(first.content, first.end);
    let isEvent = first.kind === 'event';
    let count = 1;
    for (; first.kind !== 'own'; count++) {
      const before = lines[i + count - 1] as Line;
      const next = lines[i + count];
      if (next?.kind !== 'open' || text.length > longestWrapped) break;
      if (isEvent && this.#beginsEvent(bytes, next, lines[i + count + 1])) break;
      const rest = bytes.subarray(next.content, next.end);
      const texts = [join(text, rest, ' ')];
      const missing = width.value - (before.end - before.start);
      const filled = before.full - before.start === width.value;
      if (width.full && (missing === 0 || missing === 1 || filled)) {
        const whole = bytes.subarray(next.start + width.indent, next.end);
        texts.push(join(text, whole, ' '.repeat(missing)));
      }
      const joined = isEvent
        ? this.#goesOn(text, rest, texts, wraps(before, next, bytes, width))
        : this.#becomesEvent(text.length, texts);
      if (joined === undefined) break;
      isEvent = true;
      text = joined;
    }
    return { count, text };
  }

  /** Whether a line and the next are one event, which was wrapped before its name. */
  #beginsEvent(bytes: Uint8Array, line: Line, next: Line | undefined): boolean {
    if (next?.kind !== 'open') return false;
    const text = bytes.subarray(line.content, line.end);
    return this.#becomesEvent(text.length, [join(text, bytes.subarray(next.content, next.end), ' ')]) !== undefined;
  }

  /** The joined text where it is an event whose name stands in what was joined, as neither line is by itself. */
  #becomesEvent(length: number, texts: readonly Uint8Array[]): Uint8Array | undefined {
    return texts.findLast((text) => (this.#tell.event(text, 0, text.length)?.nameEnd ?? 0) > length);
  }

  /** The joined text where a line goes on with an event. */
  #goesOn(text: Uint8Array, rest: Uint8Array, texts: readonly Uint8Array[], wrapped: Wrapped): Uint8Array | undefined {
    const place = this.#tell.event(text, 0, text.length);
    if (place === undefined) return undefined;
    const { nameStart, nameEnd, payloadStart } = place;
    const name = decodeText(text, nameStart, nameEnd).replace(/^.*:/, '');
    const bare = payloadStart >= text.length;
    const before = kernelTextFit(name, text, payloadStart, text.length);
    // Where nothing but the name stood there, the arguments begin with the line.
    const fits = texts.map(
      (joined) => kernelTextFit(name, joined, bare ? joined.length - rest.length : payloadStart, joined.length) ?? 0,
    );
    const exact = (joined: Uint8Array) => kernelTextExact(name, joined, payloadStart, joined.length) ?? 0;
    let gain = (fits[1] ?? 0) - (fits[0] as number);
    if (gain === 0 && before !== undefined && !bare && texts.length > 1)
      gain = exact(texts[1] as Uint8Array) - exact(texts[0] as Uint8Array);
    const best = texts.length > 1 && (gain > 0 || (gain === 0 && this.#cuts)) ? 1 : 0;
    if (gain > 0) this.#cutWords++;
    // Where nothing is known of the event, its words were cut as those of others were.
    const joined = texts[before === undefined ? texts.length - 1 : best] as Uint8Array;
    if (before !== undefined) {
      if ((fits[best] as number) > before) return joined;
      if ((fits[best] as number) < before) return undefined;
    }
    const words = decodeText(rest, 0, rest.length);
    if (isProse(words)) return undefined;
    if (wrapped === 'sure') return joined;
    const values = /[\d=]/.test(words);
    // Where spaces that set numbers out in columns were taken away, the width does not tell.
    const lacks = bare || /[:=,(|]$/.test(decodeText(text, text.length - 1, text.length));
    if (lacks && values) return joined;
    if (bare) return undefined;
    if (before !== undefined) return undefined;
    if (wrapped === 'maybe') return values ? joined : undefined;
    return text.length - payloadStart >= shortestWrapped && continuation.test(words) ? joined : undefined;
  }
}

/**
 * How wide a text was made, and what stands before all of its lines that go on. `full`: lines are as wide as they may be, as where words were
 * cut; `sure`: that it was wrapped is beyond doubt.
 */
type Width = { value: number; indent: number; full: boolean; sure: boolean };
type Wrapped = 'sure' | 'maybe' | 'no';

/** The width at which most of the lines that something follows can have been wrapped. */
function widthOf(bytes: Uint8Array, lines: readonly Line[]): Width {
  const open = lines.filter(({ kind }) => kind === 'open');
  const indent = open.reduce((least, { start, content }) => Math.min(least, content - start), Number.POSITIVE_INFINITY);
  const pairs: { least: number; most: number; full: number }[] = [];
  for (let i = 1; i < lines.length && pairs.length < mostCompared; i++) {
    const [before, next] = [lines[i - 1] as Line, lines[i] as Line];
    if (next.kind === 'open' && before.kind !== 'own')
      pairs.push({
        least: before.end - before.start,
        most: needed(before, next, bytes, indent) - 1,
        full: before.full - before.start,
      });
  }
  let best: Width = { value: 0, indent, full: false, sure: false };
  let support = 0;
  for (const { least: value } of pairs) {
    const fitting = pairs.filter(({ least, most }) => least <= value && value <= most);
    if (fitting.length < support || (fitting.length === support && value < best.value)) continue;
    support = fitting.length;
    // A mail program's lines seldom are as wide as they may be; a terminal's are, but for spaces at the end.
    const full = fitting.filter((pair) => pair.least >= value - 1 || pair.full === value).length;
    best = {
      value,
      indent,
      full: full >= 0.9 * support,
      sure: support >= enoughWrapped && support >= mostlyWrapped * pairs.length,
    };
  }
  return best;
}

/** How wide the line before would have been with this line's first word, and the spaces before it. */
function needed(before: Line, next: Line, bytes: Uint8Array, indent: number): number {
  let word = next.content;
  while (word < next.end && bytes[word] !== space) word++;
  return before.full - before.start + 1 + word - next.start - indent;
}

function wraps(before: Line, next: Line, bytes: Uint8Array, { value, indent, sure }: Width): Wrapped {
  if (before.end - before.start > value || needed(before, next, bytes, indent) <= value) return 'no';
  return sure ? 'sure' : 'maybe';
}

/** Whether arguments are values after their names (`name=value`, `name: value`) and nothing else, as they are not where a name or a value was cut. */
function isNamed(text: string): boolean {
  let named = false;
  for (const word of text.split(/[\s,]+/)) {
    const isName = /^\w+:$/.test(word);
    if (word === '') continue;
    if (isName ? named : named === /^\w+=[^=]*$/.test(word)) return false;
    named = isName;
  }
  return !named;
}

/** Whether text is a person's words rather than arguments. */
function isProse(text: string): boolean {
  if (/^[A-Z][a-z]*(?:'[a-z]+)?,? [a-z]+(?:[ ,.]|$)/.test(text) || /[a-z]{2}[.!?]$/.test(text)) return true;
  return !/[\d=|()[\]]/.test(text) && /\S \S/.test(text);
}

/** Puts the text of several lines in their place, with spaces before it. */
function put(bytes: Uint8Array, first: Line, last: Line, text: Uint8Array): void {
  bytes.fill(space, first.start, last.full);
  bytes.set(text, last.full - text.length);
}

/** Where a text ends without the spaces behind it. */
function trimmed(text: Uint8Array): number {
  let end = text.length;
  while (end > 0 && text[end - 1] === space) end--;
  return end;
}

function join(text: Uint8Array, rest: Uint8Array, between: string): Uint8Array {
  return Buffer.concat([text, Buffer.from(between), rest]);
}

/** Where a line's text begins, after spaces and the quote marks of a mail. */
export function contentOf(bytes: Uint8Array, start: number, end: number, quoted = true): number {
  let p = start;
  while (p < end && (bytes[p] === space || bytes[p] === 0x09 || (quoted && (bytes[p] === 0x3e || bytes[p] === 0x7c))))
    p++;
  return p;
}

/** Says how many lines were joined with the ones before them. */
export function joinedNote(count: number): string {
  const lines = count === 1 ? '1 line is' : `${count} lines are`;
  return `${lines} the rest of the line before, as mail programs wrap them: joined again.`;
}

/** Two pieces of text with a space between; `cut`: without. */
export function joinedText(
  bytes: Uint8Array,
  start: number,
  end: number,
  from: number,
  to: number,
  cut = false,
): Uint8Array {
  return join(bytes.subarray(start, end), bytes.subarray(from, to), cut ? '' : ' ');
}
