import { BitWriter } from './ctf-writer.ts';

/*
 * A trace with one event of every type that the specifications have, in TSDL and as JSON, of the same bytes as far as both have them; and
 * what its fields are, by hand.
 */

/** Bytes of a float of 32 or 64 bits. */
function float(value: number, size: 32 | 64, little: boolean): Buffer {
  const bytes = Buffer.alloc(size / 8);
  if (size === 32) little ? bytes.writeFloatLE(value) : bytes.writeFloatBE(value);
  else little ? bytes.writeDoubleLE(value) : bytes.writeDoubleBE(value);
  return bytes;
}

/** The event in both, from its number on. */
function common(out: BitWriter): BitWriter {
  const { little } = out;
  // The fields are aligned as the most aligned of them.
  out.int(1, 8).align(32).int(5, 3, 1).int(-3, 13, 1).int(0x1234, 16, 16, !little).align(1);
  out
    .int(27, 7, 1)
    .align(8)
    .bytes(float(1.5, 32, little))
    .bytes(float(-2.25, 64, little));
  out.text('häb').chars('four', 8).int(7, 16).int(8, 16).int(9, 16);
  out.int(2, 8).int(300, 16).int(301, 16);
  out.align(32).int(4, 8).align(32).int(11, 32, 32).text('inner');
  return out.int(1, 8).int(77, 32);
}

/** The fields of `common`, in order, up to the variant. */
const commonText =
  'three=5 thirteen=-3 swapped=0x1234 label=twenty to thirty small=1.5 large=-2.25 text=häb chars=four list=[7, 8, 9] ' +
  'length=2 more=[300, 301] nested={tag=4 deep={number=11 text=inner}} ';

export const everyTypeText = {
  tsdl: `${commonText}choice=broad chosen=77`,
  json: `${commonText}choice=1 chosen=77 v=300 w=-2 x=4294967297 y_there=true y=5 blob=[0x1, 0xff] wide=hé fixed=abc bits=0x5 flag=true`,
};

export function tsdlStream(little: boolean): Buffer {
  return common(new BitWriter(little)).done();
}

export function tsdlMetadata(little: boolean): string {
  const other = little ? 'be' : 'le';
  return `/* CTF 1.8 */
trace { major = 1; minor = 8; byte_order = ${little ? 'le' : 'be'}; };
typealias integer { size = 8; } := u8;
typealias integer { size = 16; } := u16;
typealias integer { size = 32; } := unsigned int;
stream { event.header := struct { u8 id; }; };
event {
  id = 1; name = "every";
  fields := struct {
    integer { size = 3; align = 1; } three;
    integer { size = 13; align = 1; signed = true; } thirteen;
    integer { size = 16; align = 16; byte_order = ${other}; base = hex; } swapped;
    enum : integer { size = 7; align = 1; } { zero, one, "twenty to thirty" = 20 ... 30, after } label;
    floating_point { exp_dig = 8; mant_dig = 24; align = 8; } small;
    floating_point { exp_dig = 11; mant_dig = 53; align = 8; } large;
    string text;
    integer { size = 8; encoding = UTF8; } chars[8];
    u16 list[3];
    u8 length;
    u16 more[length];
    struct { u8 tag; struct { unsigned int number; string text; } align(32) deep; } nested;
    enum : u8 { narrow, broad } choice;
    variant <choice> { u8 narrow; unsigned int broad; } chosen;
  };
};
`;
}

export function jsonStream(little: boolean): Buffer {
  const out = common(new BitWriter(little));
  out.bytes([0xac, 0x02]).bytes([0x7e]).bytes([0x81, 0x80, 0x80, 0x80, 0x10]).int(1, 8).int(5, 16);
  out.bytes([0x01, 0xff]).bytes(Buffer.from('hé\0', 'utf16le')).chars('abc', 5);
  return out.int(5, 7, 1).int(1, 1, 1).done();
}

export function jsonMetadata(little: boolean): string {
  const order = little ? 'little-endian' : 'big-endian';
  const other = little ? 'big-endian' : 'little-endian';
  const int = (length: number, rest: object = {}) => ({
    type: 'fixed-length-unsigned-integer',
    length,
    alignment: length % 8 === 0 ? 8 : 1,
    'byte-order': order,
    ...rest,
  });
  const member = (name: string, field: object | string) => ({ name, 'field-class': field });
  const structure = (members: object[], rest: object = {}) => ({
    type: 'structure',
    'member-classes': members,
    ...rest,
  });
  const at = (...path: string[]) => ({ origin: 'event-record-payload', path });
  const fragments = [
    { type: 'preamble', version: 2 },
    { type: 'field-class-alias', name: 'u16', 'field-class': int(16) },
    { type: 'trace-class' },
    {
      type: 'data-stream-class',
      'event-record-header-field-class': structure([member('id', int(8, { roles: ['event-record-class-id'] }))]),
    },
    {
      type: 'event-record-class',
      id: 1,
      name: 'every',
      'payload-field-class': structure([
        member('three', int(3)),
        member('thirteen', int(13, { type: 'fixed-length-signed-integer' })),
        member('swapped', int(16, { alignment: 16, 'byte-order': other, 'preferred-display-base': 16 })),
        member('label', int(7, { mappings: { zero: [[0, 0]], 'twenty to thirty': [[20, 30]] } })),
        member('small', int(32, { type: 'fixed-length-floating-point-number' })),
        member('large', int(64, { type: 'fixed-length-floating-point-number' })),
        member('text', { type: 'null-terminated-string' }),
        member('chars', { type: 'static-length-string', length: 8 }),
        member('list', { type: 'static-length-array', length: 3, 'element-field-class': 'u16' }),
        member('length', int(8)),
        member('more', {
          type: 'dynamic-length-array',
          'length-field-location': { path: ['length'] },
          'element-field-class': 'u16',
        }),
        member(
          'nested',
          structure([
            member('tag', int(8)),
            member(
              'deep',
              structure([member('number', int(32)), member('text', { type: 'null-terminated-string' })], {
                'minimum-alignment': 32,
              }),
            ),
          ]),
        ),
        member('choice', int(8)),
        member('chosen', {
          type: 'variant',
          'selector-field-location': at('choice'),
          options: [
            { 'field-class': int(8), 'selector-field-ranges': [[0, 0]] },
            { 'field-class': int(32), 'selector-field-ranges': [[1, 1]] },
          ],
        }),
        member('v', { type: 'variable-length-unsigned-integer' }),
        member('w', { type: 'variable-length-signed-integer' }),
        member('x', { type: 'variable-length-unsigned-integer' }),
        member('y_there', int(8, { type: 'fixed-length-boolean' })),
        member('y', {
          type: 'optional',
          'selector-field-location': at('y_there'),
          'field-class': int(16),
        }),
        member('blob', { type: 'static-length-blob', length: 2 }),
        member('wide', { type: 'null-terminated-string', encoding: 'utf-16le' }),
        member('fixed', { type: 'static-length-string', length: 5 }),
        member('bits', int(7, { type: 'fixed-length-bit-array' })),
        member('flag', int(1, { type: 'fixed-length-boolean' })),
      ]),
    },
  ];
  return fragments.map((fragment) => `\x1e${JSON.stringify(fragment)}\n`).join('');
}
