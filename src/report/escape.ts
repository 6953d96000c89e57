/**
 * What must not reach a terminal or a line of output as it is: control characters (C0, DEL, C1), line and paragraph
 * separators, characters that reverse or hide text (bidi controls, zero-width, tags, annotations), noncharacters, and lone surrogates.
 */
const unsafe =
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}\ud800-\udfff]/gu;
/** What most text is made of, and what needs no further look. */
const harmless = /^[\n\x20-\x7e]*$/;
/** A style of ours, as `Terminal` writes it into text, or something unsafe. Line ends are the layout's. */
const styleOrUnsafe = new RegExp(`\\udfff\\[([0-9;]*)m|(?!\\n)${unsafe.source}`, 'gu');

const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Stands for ESC where `Terminal` styles a text: a lone surrogate, which no text that was decoded from bytes can hold. So the escape
 * sequences of ours are told from those of a trace where text leaves for the terminal.
 */
export const styleMark = '\udfff';

/** Text from a trace as a part of one line: every unsafe character becomes `\n`, `\x1b` or `\u{202e}`. */
export function escapeText(text: string): string {
  unsafe.lastIndex = 0;
  return unsafe.test(text) ? text.replace(unsafe, escaped) : text;
}

/**
 * Lines of text for a terminal, whatever went into them: only line ends and, with `styles`, our own styles pass as they are; with `tabs`,
 * tabs do, too.
 */
export function escapeLines(text: string, styles: boolean, tabs: boolean): string {
  if (harmless.test(text)) return text;
  return text.replace(styleOrUnsafe, (found, style: string | undefined) => {
    if (style !== undefined) return styles ? `\x1b[${style}m` : '';
    return tabs && found === '\t' ? found : escaped(found);
  });
}

/** A JSON document with every unsafe character as `\u202e`. They stand only within its strings. */
export function escapeJson(document: string): string {
  if (harmless.test(document)) return document;
  return document.replace(unsafe, (found) =>
    found === '\n'
      ? found
      : Array.from({ length: found.length }, (_, n) => `\\u${found.charCodeAt(n).toString(16).padStart(4, '0')}`).join(
          '',
        ),
  );
}

function escaped(c: string): string {
  const code = c.codePointAt(0) as number;
  return named[c] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`);
}
