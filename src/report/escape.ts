/**
 * What must not reach a terminal or a line of output as it is: control characters (C0, DEL, C1), line and paragraph
 * separators, characters that reverse or hide text (bidi controls, zero-width, tags, annotations), and lone surrogates.
 */
const unsafe =
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;

const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Text from a trace, safe to print: every unsafe character becomes `\n`, `\x1b` or `\u{202e}`. */
export function escapeText(text: string): string {
  unsafe.lastIndex = 0;
  if (!unsafe.test(text)) return text;
  return text.replace(unsafe, (c) => {
    const code = c.codePointAt(0) as number;
    return named[c] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`);
  });
}
