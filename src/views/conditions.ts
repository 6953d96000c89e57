import { groups } from '../trace/groups.ts';
import { parseLength } from '../trace/time-units.ts';
import { type Figure, figures, type Measured, measureOf } from './figures.ts';

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
  figure: Figure;
  /** `exit`, `wait`, … */
  kind: string;
  /** `EPT_VIOLATION`; undefined for all of the kind. */
  name: string | undefined;
  comparison: keyof typeof comparisons;
  /** In ns, a fraction of 1, events per second, or a number; of a change a fraction of 1, negative for less. */
  value: number;
};

/** Something that figures are of, by kind and name; `name` undefined is all of the kind. */
export type Subject = {
  kind: string;
  name: string | undefined;
  measured: Measured;
  /** Whether `measured` is by how much each figure changed. */
  change?: true;
};

/** How a condition came out; `actual` is NaN where nothing was measured, which is neither. */
export type Judgement = { condition: Condition; holds: boolean; actual: number };

/** What is wrong with a condition as written, as a sentence. */
export class ConditionError extends Error {
  override name = 'ConditionError';
}

/** Reads `FIGURE(KIND[:NAME]) COMPARISON VALUE`, or `change(FIGURE(KIND[:NAME])) COMPARISON PERCENTAGE`. Throws a ConditionError. */
export function parseCondition(text: string): Condition {
  const parts = /^(.*\))\s*(>=|<=|>|<)\s*(\S.*?)\s*$/s.exec(text);
  const inner = /^\s*change\s*\((.*)\)$/s.exec(parts?.[1] ?? '');
  const match = /^\s*([\w.]+)\s*\(\s*([\w-]+)\s*(?::\s*(.*?))?\s*\)\s*$/s.exec(inner?.[1] ?? parts?.[1] ?? '');
  if (parts === null || match === null)
    throw new ConditionError(
      'expected FIGURE(WHAT) > VALUE: p99(exit:npf)>100us, count(exit)>1000, share(wait:BQL)>5%',
    );
  const [, , comparison, wanted] = groups<[string, string, keyof typeof comparisons, string]>(parts);
  const [, word, kind, name] = groups<[string, string, string, string?]>(match);
  const figure = figures.find(
    ({ name }) => name === word || name.replace('.', '') === word || (name === 'avg' && word === 'mean'),
  )?.name;
  if (figure === undefined)
    throw new ConditionError(`there is no figure ${word}; it is one of ${figures.map(({ name }) => name).join(', ')}`);
  const change = inner !== null;
  const value = change ? parseChange(wanted) : parseValue(figure, wanted);
  return { text: text.trim(), change, figure, kind, name: name === '' ? undefined : name, comparison, value };
}

function parseChange(text: string): number {
  const match = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*%$/.exec(text);
  if (match === null) throw new ConditionError(`a change is a percentage, 10% or -5%, not ${text}`);
  return Number(match[1]) / 100;
}

function parseValue(figure: Figure, text: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*([a-zµμ%/]*)$/.exec(text);
  const number = Number(match?.[1]);
  const unit = match?.[2] ?? '';
  if (match !== null) {
    switch (measureOf(figure)) {
      case 'number':
        if (unit === '') return number;
        throw new ConditionError(`${figure} is a number without a unit, not ${text}`);
      case 'rate':
        if (unit === '' || unit === '/s') return number;
        throw new ConditionError(`${figure} is in events per second, 1000 or 1000/s, not ${text}`);
      case 'share':
        if (unit === '%') return number / 100;
        if (unit === '' && number <= 1) return number;
        throw new ConditionError(`${figure} is a percentage, 5%, or a fraction of 1, not ${text}`);
      default: {
        const length = parseLength(text);
        if (length !== undefined) return length;
      }
    }
  }
  throw new ConditionError(`${figure} is a length of time with its unit, 250ns, 100us, 1.5ms, not ${text}`);
}

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
  const named = ofKind.filter((one) => (name === undefined ? one.name === undefined : same(name, one.name ?? '')));
  const [found] = named;
  if (found !== undefined && !(figure in found.measured)) {
    const has = Object.keys(found.measured).join(', ');
    throw new ConditionError(`${condition.text}: ${kind} has no ${figure}; it has ${has}`);
  }
  // Of what did not happen there are none; how long it took nobody knows.
  const none = condition.change
    ? Number.NaN
    : figure === 'count' || figure === 'rate' || figure === 'total' || figure === 'share'
      ? 0
      : Number.NaN;
  const holds = (value: number) => comparisons[condition.comparison](value, condition.value);
  const values = named.map((one) => one.measured[figure] as number);
  const actual = values.find(holds) ?? values.find((value) => !Number.isNaN(value)) ?? values[0] ?? none;
  return { condition, holds: holds(actual), actual };
}
