import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { csvRow } from './csv.ts';
import { escapeJson, escapeText } from './escape.ts';
import { json } from './json.ts';
import { displayWidth, Terminal, truncate } from './terminal.ts';

const tty = { isTTY: true, columns: 100 };

test('colours: --color first, then FORCE_COLOR and NO_COLOR, then the terminal', () => {
  const colors = (env: Record<string, string>, color?: 'auto' | 'always' | 'never', isTTY = true) =>
    new Terminal({ isTTY, columns: 80, env, color }).colors;
  assert.equal(colors({ TERM: 'xterm', COLORTERM: 'truecolor' }), 24);
  assert.equal(colors({ TERM: 'xterm-256color' }), 8);
  assert.equal(colors({ TERM: 'dumb' }), 1);
  assert.equal(colors({ TERM: 'xterm-256color' }, 'auto', false), 1);
  assert.equal(colors({ TERM: 'xterm-256color', NO_COLOR: '1' }), 1);
  assert.equal(colors({ TERM: 'xterm-256color', NO_COLOR: '' }), 8);
  assert.equal(colors({ TERM: 'xterm-256color', NO_COLOR: '1' }, 'always', false), 8);
  assert.equal(colors({}, 'always', false), 8);
  assert.equal(colors({ FORCE_COLOR: '3' }, 'auto', false), 24);
  assert.equal(colors({ FORCE_COLOR: '0', COLORTERM: 'truecolor' }), 1);
  assert.equal(colors({ FORCE_COLOR: '3' }, 'never'), 1);
});

test('width: COLUMNS, then the terminal; tables in a pipe are not cut', () => {
  const of = (isTTY: boolean, env: Record<string, string>) => {
    const { width, tableWidth } = new Terminal({ isTTY, columns: 120, env });
    return [width, tableWidth];
  };
  assert.deepEqual(of(true, {}), [120, 120]);
  assert.deepEqual(of(true, { COLUMNS: '66' }), [66, 66]);
  assert.deepEqual(of(false, {}), [80, Number.POSITIVE_INFINITY]);
  assert.deepEqual(of(false, { COLUMNS: '90' }), [90, 90]);
});

test('paint gives the nearest colour that there is', () => {
  const red = (env: Record<string, string>) => {
    const terminal = new Terminal({ ...tty, env });
    return terminal.text(terminal.paint('x', undefined, [255, 0, 0]));
  };
  assert.equal(red({ COLORTERM: 'truecolor' }), '\x1b[48;2;255;0;0mx\x1b[0m');
  assert.equal(red({ TERM: 'xterm-256color' }), '\x1b[48;5;196mx\x1b[0m');
  assert.equal(red({ TERM: 'xterm' }), '\x1b[101mx\x1b[0m');
  assert.equal(red({ NO_COLOR: '1' }), 'x');
});

test('without UTF-8 the output is ASCII', () => {
  const terminal = new Terminal({ ...tty, env: { LC_ALL: 'C' } });
  assert.equal(terminal.text('38 µs ┤ é…\n'), '38 us + ?...\n');
  assert.equal(new Terminal({ ...tty, env: { LANG: 'de_DE.UTF-8' } }).text('µ'), 'µ');
});

test('text from a trace cannot move the cursor, hide or reverse anything', () => {
  assert.equal(escapeText('CPU 0/KVM'), 'CPU 0/KVM');
  assert.equal(escapeText('a\uffffb\ufffe'), 'a\\u{ffff}b\\u{fffe}');
  assert.equal(escapeText('a\x1b[2Jb\nc\u202ed\u0085\u200b'), 'a\\x1b[2Jb\\nc\\u{202e}d\\x85\\u{200b}');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(escapeText(text), /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/u);
    }),
  );
});

test('what goes to a terminal has our own escape sequences and no others', () => {
  const colored = new Terminal({ ...tty, env: { COLORTERM: 'truecolor' } });
  const plain = new Terminal({ ...tty, env: { NO_COLOR: '1' } });
  assert.equal(colored.text(`${colored.style('bad', 'a\x1b[32mb')}\n`), '\x1b[31ma\\x1b[32mb\x1b[39m\n');
  assert.equal(
    plain.text(`${plain.style('bad', 'a\x1b]0;x\x07b')}\u009b2J\r\u2028\n`),
    'a\\x1b]0;x\\x07b\\x9b2J\\r\\u{2028}\n',
  );
  assert.equal(plain.text('a\tb'), 'a\\tb');
  assert.equal(plain.text('a\tb\x07', true), 'a\tb\\x07');
  const ours = /\x1b\[[0-9;]*m/g;
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
      for (const terminal of [colored, plain]) {
        const out = terminal.text(`${a.toWellFormed()}${terminal.style('strong', b.toWellFormed())}\n`);
        assert.equal(out.match(ours)?.length ?? 0, terminal === plain ? 0 : 2);
        assert.doesNotMatch(out.replace(ours, '').replaceAll('\n', ''), /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/u);
      }
    }),
  );
});

test('JSON has control characters and what reverses text as escapes, and says the same', () => {
  const value = { 'a\u009b': 'x\u202e\u2028\u{e0001}\x7f\n\ud800', b: ['\x1b[2J'] };
  const text = escapeJson(json(value));
  assert.match(text, /^[\n\x20-\x7e]*$/);
  assert.deepEqual(JSON.parse(text), value);
});

test('a cell of CSV that a spreadsheet would take for a formula is text, a number is not changed', () => {
  assert.equal(
    csvRow(['=cmd|1', '+x', '-x', '@x', '\t=x', '\r=x', '＝x', 'a;=x', '-12.5', '+3', -4, 'a=b', '-']),
    "'=cmd|1,'+x,'-x,'@x,\\t=x,\\r=x,'＝x,\"a;=x\",-12.5,+3,-4,a=b,'-\n",
  );
});

test('wide characters take two columns, combining marks and colours none', () => {
  assert.equal(displayWidth('漢字'), 4);
  assert.equal(displayWidth('e\u0301'), 1);
  const colored = new Terminal({ ...tty, env: { COLORTERM: 'truecolor' } });
  assert.equal(displayWidth(colored.style('bad', colored.paint('ab', [1, 2, 3], [4, 5, 6]))), 2);
  assert.equal(truncate('漢字漢字', 5), '漢字…');
  assert.equal(truncate('short', 5), 'short');
});

test('CSV quotes what RFC 4180 says; JSON stays JSON however it is laid out', () => {
  assert.equal(
    csvRow(['a,b', 'say "x"', 1.5, undefined, Number.NaN, 'l\n2\x1b[31m']),
    '"a,b","say ""x""",1.5,,,l\\n2\\x1b[31m\n',
  );
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      assert.deepEqual(JSON.parse(json(value as never)), JSON.parse(JSON.stringify(value)));
    }),
  );
  assert.equal(json({ a: Number.NaN, b: undefined, c: [1, 2] }), '{ "a": null, "c": [1, 2] }\n');
});
