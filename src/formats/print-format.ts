import type { EventBatch } from '../trace/batch.ts';
import { ExpressionParser } from './c-expression.ts';
import { type Expression, type Printer, Unsupported } from './c-operators.ts';
import { KernelHelpers, type PrintedPayload } from './kernel-helpers.ts';
import { printPointer } from './print-pointer.ts';
import { type Conversion, parsePrintf, printInteger, printString, small, truncate } from './printf.ts';

/** Formats of real events have up to 20 KiB; what is longer is not compiled. */
const longestFormat = 1 << 17;
/** No event prints more than this, whatever its format asks for. */
const longestText = 1 << 16;

/**
 * Compiles the `print fmt` of an event's format file: a printf format and its arguments in C, with the kernel's helpers
 * (`__print_symbolic`, `__get_str`, …; include/trace/stages/stage3_trace_output.h). Integers have their C types,
 * so the text is what the kernel itself would print. Undefined where the format is beyond what is understood.
 *
 * libtraceevent (perf script, trace-cmd) prints the same but for signed fields: it reads all fields as unsigned,
 * so that `errno < 0` is never true there, and an `__s8` of -1 prints as 255.
 */
export function compilePrintFormat(layout: PrintedPayload, little: boolean): Printer | undefined {
  const source = layout.format.printFormat;
  if (source.length > longestFormat) return undefined;
  try {
    const parser = new ExpressionParser(source, new KernelHelpers(layout, little));
    const format = parser.string();
    if (format === undefined) return undefined;
    const args: Expression[] = [];
    while (parser.accept(',')) args.push(parser.expression());
    if (!parser.atEnd) return undefined;
    return compile(format, args, little);
  } catch (error) {
    if (error instanceof Unsupported) return undefined;
    throw error;
  }
}

function compile(format: string, args: Expression[], little: boolean): Printer | undefined {
  const parts: (string | Printer)[] = [];
  let next = 0;
  const argument = (): Expression => {
    const arg = args[next++];
    if (arg === undefined) throw new Unsupported('a conversion without an argument');
    return arg;
  };
  for (const part of parsePrintf(format)) {
    if (typeof part === 'string') parts.push(part);
    else {
      const width = part.width === '*' ? argument() : part.width;
      const precision = part.precision === '*' ? argument() : part.precision;
      parts.push(
        /[duxXocsp]/.test(part.kind) ? conversion(part, argument(), width, precision, little) : `>${part.kind}<`,
      );
    }
  }
  return (b, i) => {
    let text = '';
    for (const part of parts) {
      text += typeof part === 'string' ? part : part(b, i);
      if (text.length > longestText) return text.slice(0, longestText);
    }
    return text;
  };
}

function conversion(
  c: Conversion,
  arg: Expression,
  width: number | Expression,
  precision: number | Expression,
  little: boolean,
): Printer {
  const columns = typeof width === 'number' ? () => width : (b: EventBatch, i: number) => small(width.value(b, i));
  const digits =
    typeof precision === 'number' ? () => precision : (b: EventBatch, i: number) => small(precision.value(b, i));
  if (c.kind === 'p') return printPointer(c, arg, width, little);
  if (c.kind === 's') {
    if (c.width === -1 && c.precision === -1) return arg.text;
    return (b, i) => printString(c, arg.text(b, i), columns(b, i), digits(b, i));
  }
  if (c.width === -1 && c.precision === -1 && !c.plus && !c.space && !c.alternate && c.kind !== 'c') {
    const signed = c.kind === 'd';
    const { bits } = c;
    const base = { d: 10, u: 10, x: 16, o: 8, X: 0 }[c.kind];
    if (base === 10) return (b, i) => `${truncate(arg.value(b, i), bits, signed)}`;
    if (base === 16) return (b, i) => truncate(arg.value(b, i), bits, false).toString(16);
  }
  return (b, i) => printInteger(c, arg.value(b, i), columns(b, i), digits(b, i));
}
