import type { Stats } from '../spans/summary.ts';
import { groups } from '../trace/groups.ts';
import { parseLength } from '../trace/time-units.ts';
import { type Figure, figures, type Measure, measured } from './figures.ts';

/*
 * Conditions on figures, for scripts and CI: `p99(exit:EPT_VIOLATION) > 100us`.
 */

const comparisons = {
  '>=': (a: number, b: number) => a >= b,
  '<=': (a: number, b: number) => a <= b,
  '>': (a: number, b: number) => a > b,
  '<': (a: number, b: number) => a < b,
} as const;

/** A condition as the user wrote it, and what it means. */
export type Condition = {
  text: string;
  /** Whether it is about how the figure changed: `change(p99(exit:npf)) > 10%`. */
  change: boolean;
  /** A figure of statistics, or what the answer's JSON calls a value: without the unit, the way to it joined by dots. */
  figure: string;
  /** What its value is; undefined where only its unit tells. */
  measure: Measure | undefined;
  /** `exit`, `wait`, …; undefined of a value of the whole answer, which JSON has outside of its rows: `unpaired.exits`. */
  kind: string | undefined;
  /** `EPT_VIOLATION`; undefined for all of the kind. */
  name: string | undefined;
  comparison: keyof typeof comparisons;
  /** In ns, a fraction of 1, events per second, or a number; of a change a fraction of 1, negative for less. */
  value: number;
};

/** The figures of one thing: those that it has. */
export type Measured = { [figure: string]: number };

/** Something that figures are of, by kind and name; `name` undefined is all of the kind. */
export type Subject = {
  kind: string;
  name: string | undefined;
  measured: Measured;
  /** Whether `measured` is by how much each figure changed. */
  change?: true;
};

/** The figures of some statistics as a subject. `whole` is the total that a share is of, rates are per second of `seconds`. */
export function statsSubject(
  kind: string,
  name: string | undefined,
  stats: Stats,
  whole: number,
  seconds: number,
): Subject {
  return { kind, name, measured: measured(stats, whole, seconds) };
}

/** A figure that conditions can be about besides those of statistics; undefined where a word is none. */
export type MoreFigures = (word: string) => { name: string; measure: Measure | undefined } | undefined;

/** How a condition came out; `actual` is NaN where nothing was measured, which is neither. */
export type Judgement = { condition: Condition; holds: boolean; actual: number };

/** What is wrong with a condition as written, as a sentence. */
export class ConditionError extends Error {
  override name = 'ConditionError';
}

/**
 * Reads `FIGURE(KIND[:NAME]) COMPARISON VALUE`, `change(FIGURE(KIND[:NAME])) COMPARISON PERCENTAGE`, or `PATH COMPARISON VALUE` of the answer as a whole. `more`
 * knows the figures that statistics do not have. Throws a ConditionError.
 */
export function parseCondition(text: string, more: MoreFigures = () => undefined): Condition {
  const parts = /^(.*\)|[\w.\s]*)\s*(>=|<=|>|<)\s*(\S.*?)\s*$/s.exec(text);
  const inner = /^\s*change\s*\((.*)\)$/s.exec(parts?.[1] ?? '');
  const match = /^\s*([\w.-]+)\s*\(\s*([\w-]+)\s*(?::\s*(.*?))?\s*\)\s*$/s.exec(inner?.[1] ?? parts?.[1] ?? '');
  const whole = inner === null ? /^\s*([a-z_]\w*(?:\.\w+)*)\s*$/i.exec(parts?.[1] ?? '') : null;
  if (parts === null || (match === null && whole === null))
    throw new ConditionError(
      'expected FIGURE(WHAT) > VALUE: p99(exit:npf)>100us, count(exit)>1000, share(wait:BQL)>5%',
    );
  const [, , comparison, wanted] = groups<[string, string, keyof typeof comparisons, string]>(parts);
  const change = inner !== null;
  const condition = { text: text.trim(), change, comparison };
  if (match === null) {
    const [, figure] = groups<[string, string]>(whole as RegExpExecArray);
    return { ...condition, figure, kind: undefined, name: undefined, ...parseValue(figure, undefined, wanted) };
  }
  const [, word, kind, name] = groups<[string, string, string, string?]>(match);
  const { name: figure, measure } = figureCalled(word) ?? more(word) ?? refuseFigure(word);
  const value = change ? { measure, value: parseChange(wanted) } : parseValue(word, measure, wanted);
  return { ...condition, figure, kind, name: name === '' ? undefined : name, ...value };
}

/** The figure of statistics that people or JSON call so. */
function figureCalled(word: string): { name: Figure; measure: Measure } | undefined {
  const plain = word.replace(/_ns$/, '');
  return figures.find(
    (one) => one.name === plain || ('json' in one && one.json === plain) || (one.name === 'avg' && plain === 'mean'),
  );
}

function refuseFigure(word: string): never {
  throw new ConditionError(`there is no figure ${word}; it is one of ${figures.map(({ name }) => name).join(', ')}`);
}

function parseChange(text: string): number {
  const match = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*%$/.exec(text);
  if (match === null) throw new ConditionError(`a change is a percentage, 10% or -5%, not ${text}`);
  return Number(match[1]) / 100;
}

/** A value as written, and what it is; `figure` is the word that it is compared with. */
function parseValue(figure: string, measure: Measure | undefined, text: string): Pick<Condition, 'value' | 'measure'> {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*([a-zµμ%/]*)$/.exec(text);
  const number = Number(match?.[1]);
  const unit = match?.[2] ?? '';
  const is = (wanted: Measure) => measure === undefined || measure === wanted;
  if (match !== null) {
    if (unit === '%' && is('share')) return { value: number / 100, measure: 'share' };
    if (unit === '/s' && is('rate')) return { value: number, measure: 'rate' };
    const length = is('length') ? parseLength(text) : undefined;
    if (length !== undefined) return { value: length, measure: 'length' };
    // A name that has its unit needs no other.
    const plain = measure === 'length' ? figure.endsWith('_ns') : measure === 'share' ? number <= 1 : true;
    if (unit === '' && plain) return { value: number, measure };
  }
  throw new ConditionError(`${figure} ${expected[measure ?? 'any']}, not ${text}`);
}

const expected: Record<Measure | 'any', string> = {
  number: 'is a number without a unit',
  rate: 'is in events per second, 1000 or 1000/s',
  share: 'is a percentage, 5%, or a fraction of 1',
  length: 'is a length of time with its unit, 250ns, 100us, 1.5ms',
  any: 'is compared with a number, a length of time or a percentage',
};

/**
 * Judges a condition. `same` says whether a name in it means a subject's. Several subjects can have one name, as each
 * virtual machine has a BQL: the condition holds where it does for one of them. Throws a ConditionError where there is no subject of
 * its kind at all, or none that has the figure.
 */
export function judge(
  condition: Condition,
  subjects: readonly Subject[],
  same = (asked: string, name: string) => asked.toLowerCase() === name.toLowerCase(),
): Judgement {
  const { kind, name, figure } = condition;
  if (subjects.every((subject) => (subject.change === true) !== condition.change)) {
    const why = condition.change ? 'only virtap diff has changes' : 'expected change(FIGURE(WHAT)) > 10%';
    throw new ConditionError(`${condition.text}: ${why}`);
  }
  const kinds = [...new Set(subjects.map((subject) => subject.kind))];
  const ofKind = subjects.filter((subject) => subject.kind === kind);
  if (ofKind.length === 0)
    throw new ConditionError(`${condition.text}: nothing here is called ${kind}; there is ${kinds.join(', ')}`);
  const has = ({ measured }: Subject) => figure in measured;
  const all = ofKind.filter((one) => one.name === undefined && has(one));
  // Where nothing is said of all together, each of them is meant.
  const meant =
    name === undefined ? (all.length > 0 ? all : ofKind) : ofKind.filter((one) => same(name, one.name ?? ''));
  const named = meant.filter(has);
  if (named.length === 0 && meant.length > 0) {
    const known = new Set(meant.flatMap(({ measured }) => Object.keys(measured)));
    throw new ConditionError(`${condition.text}: ${kind} has no ${figure}; it has ${[...known].join(', ')}`);
  }
  // Of what did not happen there are none; how long it took nobody knows.
  const none = condition.change
    ? Number.NaN
    : figure === 'count' || figure === 'rate' || figure === 'total' || figure === 'share'
      ? 0
      : Number.NaN;
  return compared(
    condition,
    named.map((one) => one.measured[figure] as number),
    none,
  );
}

/** How a condition on these values comes out: it holds where it does for one of them. */
export function compared(condition: Condition, values: readonly number[], none = Number.NaN): Judgement {
  const holds = (value: number) => comparisons[condition.comparison](value, condition.value);
  const actual = values.find(holds) ?? values.find((value) => !Number.isNaN(value)) ?? values[0] ?? none;
  return { condition, holds: holds(actual), actual };
}
