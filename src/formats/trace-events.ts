import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TraceError } from '../trace/error.ts';
import { groups } from '../trace/groups.ts';
import { qemuType } from './c-types.ts';
import type { OpenOptions } from './format.ts';
import { asTraceError } from './input.ts';
import type { Base } from './int-reader.ts';
import { builtInSignatures } from './qemu-signatures.ts';

/*
 * QEMU's trace-events files: names, arguments and format strings of its trace events.
 * Syntax: docs/devel/tracing.rst and scripts/tracetool/__init__.py in QEMU's source.
 */

/** One argument of a QEMU trace event. */
export type EventArgument = {
  name: string;
  /** Its C type as declared, e.g. `unsigned int`, `void *`. */
  declared: string;
  /** `text` for C strings, else an integer (pointers too). */
  kind: 'int' | 'text';
  /** Width of the integer; the sign counts at this width, whatever carries it. */
  bits: 8 | 16 | 32 | 64;
  signed: boolean;
  /** How the event's format string prints it. */
  base: Base;
};

/** What QEMU's source says of one trace event. */
export type Signature = {
  name: string;
  args: readonly EventArgument[];
  /** The printf format, as one string: `"0x%" PRIx64` reads `0x%lx` here. */
  format: string;
};

/** The text between conversions of a printf format, and the conversions; texts has one more. */
export type Printf = {
  texts: string[];
  conversions: { character: string; alternate: boolean }[];
};

/** Splits a printf format. `*` widths count as a conversion of their own, `d` with no text before the next. */
export function parsePrintf(format: string): Printf {
  const texts: string[] = [];
  const conversions: Printf['conversions'] = [];
  let text = '';
  let from = 0;
  for (const match of format.matchAll(/%([-+ #0']*)(\*|\d+)?(?:\.(\*|\d*))?(?:hh|h|ll|l|z|t|j|L|q)?([a-zA-Z%])/g)) {
    const [whole, flags, width, precision, character] = groups<[string, string, string?, string?, string?]>(match);
    text += format.slice(from, match.index);
    from = match.index + whole.length;
    if (character === '%') {
      text += '%';
      continue;
    }
    for (const star of [width, precision]) {
      if (star !== '*') continue;
      // Consumes an argument and prints nothing of its own.
      texts.push(text);
      text = '';
      conversions.push({ character: '*', alternate: false });
    }
    texts.push(text);
    text = '';
    conversions.push({ character: character as string, alternate: flags.includes('#') });
  }
  texts.push(text + format.slice(from));
  return { texts, conversions };
}

/** tracetool's own test for what it stores as a string (scripts/tracetool/__init__.py, is_string). */
function isString(declared: string): boolean {
  return /^(const )?char ?\*/.test(declared) && declared.split('*').length === 2;
}

/** Joins `"0x%" PRIx64 "…"` into one format. */
function joinFormat(source: string): string {
  let format = '';
  for (const match of source.matchAll(/"((?:[^"\\]|\\.)*)"|(\w+)/g)) {
    const [, quoted, macro] = groups<[string, string | undefined, string | undefined]>(match);
    if (quoted !== undefined) {
      format += quoted.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c === 't' ? '\t' : c));
      continue;
    }
    const known = /^(?:HWADDR_|VADDR_|RAM_ADDR_)?PRI([diouxX])/.exec(macro as string);
    if (known !== null) format += `l${known[1]}`;
    // TARGET_FMT_plx, HWADDR_FMT_plx and such hold the whole conversion.
    else format += /%[-+ #0-9.*]*$/.test(format) ? 'lx' : '%lx';
  }
  return format;
}

/** One event of a trace-events file. Its arguments are worked out when first asked for: of thousands a trace has dozens. */
class EventSignature implements Signature {
  readonly name: string;
  readonly #declarations: readonly [declared: string, name: string][];
  readonly #formatSource: string;
  #format: string | undefined;
  #args: EventArgument[] | undefined;

  constructor(name: string, declarations: readonly [declared: string, name: string][], formatSource: string) {
    this.name = name;
    this.#declarations = declarations;
    this.#formatSource = formatSource;
  }

  get format(): string {
    this.#format ??= joinFormat(this.#formatSource);
    return this.#format;
  }

  get args(): readonly EventArgument[] {
    this.#args ??= this.#arguments();
    return this.#args;
  }

  #arguments(): EventArgument[] {
    const { conversions } = parsePrintf(this.format);
    return this.#declarations.map(([declared, name], n): EventArgument => {
      const hex = declared.includes('*') || /^[xXp]$/.test(conversions[n]?.character ?? '');
      return {
        name,
        declared,
        kind: isString(declared) ? 'text' : 'int',
        ...qemuType(declared),
        base: hex ? 'hex' : 'decimal',
      };
    });
  }
}

const eventLine = /^\s*(?:([\w\s]+?)\s+)?(\w+)\s*\(([^)]*)\)\s*((?:".*)?)$/;

/**
 * Parses the text of a trace-events file. Events come in the file's order, disabled ones too, because that order numbers
 * the events of simpletrace versions 2 and 3. Throws a TraceError at the first line that is none of its syntax.
 */
export function parseTraceEvents(bytes: Uint8Array, file: string): Signature[] {
  // One character a byte, so that positions are byte offsets.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const events: Signature[] = [];
  const bad = (at: number, found: string): TraceError =>
    new TraceError(
      file,
      `${/[\x00-\x08]/.test(found) ? 'binary data' : JSON.stringify(found.slice(0, 60))} is no trace event`,
      at,
      'a line of QEMU\'s trace-events-all, such as virtqueue_flush(void *vq, unsigned int count) "vq %p count %u"',
    );
  for (let at = 0; at < text.length; ) {
    const start = at;
    let line = '';
    for (;;) {
      let end = text.indexOf('\n', at);
      if (end < 0) end = text.length;
      const piece = text.slice(at, end).replace(/\r$/, '');
      at = end + 1;
      if (!piece.endsWith('\\') || at >= text.length) {
        line += piece;
        break;
      }
      line += piece.slice(0, -1);
    }
    if (/^\s*(#|$)/.test(line)) continue;
    // Ten times as long as any real line: a binary, which the expression should not chew on.
    const match = line.length > 4096 ? null : eventLine.exec(line);
    if (match === null) throw bad(start, line);
    const [, properties = '', name, declarations, formats] =
      groups<[string, string?, string?, string?, string?]>(match);
    const words = properties.split(/\s+/);
    const args: [string, string][] = [];
    for (const declaration of (declarations as string).split(',')) {
      const trimmed = declaration.trim().replace(/\s+/g, ' ');
      if (trimmed === '' || trimmed === 'void') continue;
      const split = /^(.*?[\s*])(\w+)$/.exec(trimmed);
      if (split === null) throw bad(start, line);
      args.push([(split[1] as string).trim(), split[2] as string]);
    }
    const vcpu = words.includes('vcpu');
    // tracetool puts the vCPU in front (scripts/tracetool/vcpu.py).
    if (vcpu) args.unshift(['void *', '__cpu']);
    const own = (format: string): string => (vcpu ? `"cpu=%p " ${format}` : format);
    if (!words.includes('tcg')) {
      events.push(new EventSignature(name as string, args, own(formats as string)));
      continue;
    }
    // A tcg event becomes two: at translation, without the guest's values, and at execution (scripts/tracetool/__init__.py, generate).
    const comma = /^((?:[^",]|"(?:[^"\\]|\\.)*")*),(.*)$/.exec(formats as string);
    const atTranslation = args.filter(([declared]) => !declared.startsWith('TCGv'));
    events.push(new EventSignature(`${name}_trans`, atTranslation, own(comma?.[1] ?? (formats as string))));
    events.push(new EventSignature(`${name}_exec`, args, own(comma?.[2] ?? (formats as string))));
  }
  if (events.length === 0) throw new TraceError(file, 'describes no events', 0, "QEMU's trace-events-all");
  return events;
}

/** Where distributions and `make install` put trace-events-all. */
const installed = ['/usr/share/qemu', '/usr/local/share/qemu', '/opt/qemu/share/qemu', '/usr/share/qemu-kvm'];

/**
 * Signatures of QEMU's trace events: from a trace-events-all where there is one, else built in.
 * The file is looked for and read when first needed: kernel traces without QEMU events never pay for it.
 */
export class Signatures {
  /** The trace-events-all in use; undefined where none was found. Known after the first look-up. */
  file: string | undefined;
  /** True where the user named the file. */
  readonly named: boolean;
  /** What a person should know about the search, one sentence each. */
  readonly notes: string[] = [];
  #events: readonly Signature[] | undefined;
  #all: ReadonlyMap<string, Signature> | undefined;
  readonly #beside: string | undefined;

  /** `path` is the trace's own, undefined for standard input. Throws a TraceError for a file that the user named and that is none. */
  constructor(path: string | undefined, options: OpenOptions) {
    this.named = options.traceEvents !== undefined;
    this.#beside = path === undefined ? undefined : dirname(path);
    if (options.traceEvents === undefined) return;
    const file = options.traceEvents;
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      throw asTraceError(file, error);
    }
    this.#events = parseTraceEvents(bytes, file);
    this.file = file;
  }

  /** All events of the trace-events-all in its order; empty where none was found. */
  get inFile(): readonly Signature[] {
    this.#events ??= this.#find();
    return this.#events;
  }

  /** The signature of an event (`virtqueue_pop`), or undefined where nobody knows it. */
  of(name: string): Signature | undefined {
    return this.all.get(name);
  }

  /** What the arguments of an event may be, the likeliest first: as the file says, then as built in, one for each version of QEMU. */
  candidates(name: string): Signature[] {
    const own = this.of(name);
    const others = builtIn().filter((event) => event.name === name && event !== own);
    return own === undefined ? others : [own, ...others];
  }

  /** Every known event once, by name; the same map for all traces that the same file describes. */
  get all(): ReadonlyMap<string, Signature> {
    this.#all ??= withBuiltIn(this.inFile);
    return this.#all;
  }

  #find(): readonly Signature[] {
    const folders = this.#beside === undefined ? installed : [this.#beside, ...installed];
    for (const folder of folders) {
      const file = join(folder, 'trace-events-all');
      if (!existsSync(file)) continue;
      try {
        const events = installedEvents(file);
        this.file = file;
        return events;
      } catch (error) {
        // Nobody asked for this file: say so, and go on without.
        this.notes.push(`not used: ${asTraceError(file, error).message}`);
      }
    }
    return noFile;
  }
}

const noFile: readonly Signature[] = [];
const byName = new WeakMap<readonly Signature[], ReadonlyMap<string, Signature>>();

/** The events of a file by name, and those built in that it lacks. */
function withBuiltIn(inFile: readonly Signature[]): ReadonlyMap<string, Signature> {
  const known = byName.get(inFile);
  if (known !== undefined) return known;
  const all = new Map(inFile.map((event) => [event.name, event]));
  for (const event of builtIn()) if (!all.has(event.name)) all.set(event.name, event);
  byName.set(inFile, all);
  return all;
}

/** The last file that was found, and its state then: a program that opens many traces parses it once. */
let lastFound: { file: string; state: string; events: readonly Signature[] } | undefined;

function installedEvents(file: string): readonly Signature[] {
  const { dev, ino, size, mtimeMs } = statSync(file);
  const state = `${dev} ${ino} ${size} ${mtimeMs}`;
  if (lastFound?.file !== file || lastFound.state !== state) {
    lastFound = { file, state, events: parseTraceEvents(readFileSync(file), file) };
  }
  return lastFound.events;
}

let builtInParsed: Signature[] | undefined;

function builtIn(): Signature[] {
  builtInParsed ??= parseTraceEvents(Buffer.from(builtInSignatures), 'built-in signatures');
  return builtInParsed;
}

/** Says of events that their arguments have no names. */
export function namelessNote(events: readonly string[], what: 'trace' | 'log'): string {
  const some = events.slice(0, 5).join(', ');
  const more = events.length > 5 ? ` and ${events.length - 5} more` : '';
  return `arguments of ${some}${more} have no names: give the trace-events-all of the QEMU that wrote the ${what} with --trace-events`;
}
