import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { columnNamed, columnWords, memberOf, numberIn, withoutUnit } from '../report/column-names.ts';
import type { Column } from '../report/columns.ts';
import type { Json } from '../report/json.ts';
import { count, percent, rate, shortDuration, signedPercent } from '../report/units.ts';
import {
  type Condition,
  ConditionError,
  compared,
  type Judgement,
  judge,
  type MoreFigures,
  parseCondition,
  type Subject,
} from '../views/conditions.ts';
import { figures } from '../views/figures.ts';
import { say } from './say.ts';
import { didYouMean } from './suggest.ts';

/** The exit status where an answer is there, and bad: a condition holds, or something leaked. */
export const badStatus = 3;

/** What conditions are judged by. */
export type Grounds = {
  /** What has figures that conditions know by themselves. */
  subjects?: readonly Subject[];
  /** The rows of the answer, with all that its JSON says of them in numbers. */
  rows?: readonly Subject[];
  /** The answer for programs. */
  json?: Json;
  /** Whether a name in a condition means a subject's. */
  same?: ((asked: string, name: string) => boolean) | undefined;
};

/** Gives a command the option `--fail-if`; `what` says what its conditions can be about, `columns` are those of its rows. */
export function failIfOption(command: Command, what: string, columns: readonly Column<never, never>[] = []): Command {
  const more: MoreFigures = (word) => {
    const place = columnNamed(columns, word);
    if (place === undefined) return undefined;
    const { key, type } = place.column;
    if (place.path.length > 0) return { name: withoutUnit([key, ...place.path].join('.')), measure: undefined };
    return type === 'number' || type === 'rate' || type === 'share' || type === 'length'
      ? { name: key, measure: type }
      : undefined;
  };
  const parse = (text: string, previous: readonly Condition[] = []): Condition[] => {
    try {
      return [...previous, parseCondition(text, more)];
    } catch (error) {
      if (!(error instanceof ConditionError)) throw error;
      const [, word = ''] = /^there is no figure ([\w.-]+)/.exec(error.message) ?? [];
      const near = didYouMean(word, columnWords(columns));
      throw new InvalidArgumentError(`${error.message}${near === '' ? '.' : near}`);
    }
  };
  return command
    .option('--fail-if <condition>', 'exit with status 3 where this holds; may be repeated', parse)
    .addHelpText(
      'after',
      `\nConditions are FIGURE(WHAT) > VALUE, with >, >=, < or <=: ${what}. A figure is also what the JSON of a row has under that name; without (WHAT), one of the answer: lost>0.`,
    );
}

/**
 * Says which conditions hold, and sets the exit status. Throws a UsageError for one that is about nothing here, or about a
 * time that nothing took: what nobody measured has not passed.
 */
export function failIf(conditions: readonly Condition[] | undefined, grounds: () => Grounds): void {
  if (conditions === undefined) return;
  const found = grounds();
  for (const condition of conditions) {
    const { actual, holds } = judged(condition, found);
    if (Number.isNaN(actual))
      throw new UsageError(`--fail-if ${condition.text}: cannot be judged, there is nothing of the kind`);
    if (!holds) continue;
    process.exitCode = badStatus;
    say(`virtap: ${condition.text}: it is ${written(condition, actual)}\n`);
  }
}

function judged(condition: Condition, { subjects = [], rows = [], json, same }: Grounds): Judgement {
  const { kind, figure } = condition;
  if (kind === undefined) return compared(condition, [valueIn(json, condition)]);
  // What has figures of statistics has them of what it says they are of: exits, say, of those that are no halts.
  const own = subjects.some((one) => one.kind === kind) && figures.some(({ name }) => name === figure);
  try {
    return judge(condition, own ? subjects : [...subjects, ...rows], same);
  } catch (error) {
    if (error instanceof ConditionError) throw new UsageError(`--fail-if ${error.message}`);
    throw error;
  }
}

/** A number of the answer, by the way to it. */
function valueIn(json: Json, { figure, text }: Condition): number {
  let value = json;
  for (const name of figure.split('.')) {
    const member = memberOf(value, name);
    if (member === undefined) {
      const members = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
      throw new UsageError(
        `--fail-if ${text}: the answer has no ${figure}${didYouMean(name, members)} (expected FIGURE(WHAT) > VALUE, or a number of the JSON)`,
      );
    }
    value = member;
  }
  if (typeof value === 'object' && value !== null)
    throw new UsageError(`--fail-if ${text}: ${figure} is no number of the JSON`);
  return numberIn(value);
}

function written({ change, measure, figure }: Condition, value: number): string {
  if (change) return signedPercent(value);
  switch (measure ?? measureBy(figure)) {
    case 'number':
      return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)));
    case 'share':
      return percent(value);
    case 'rate':
      return rate(value);
    case 'length':
      return shortDuration(value);
  }
}

/** What a value of JSON is, by its name. */
function measureBy(path: string): NonNullable<Condition['measure']> {
  if (/_ns$/.test(path)) return 'length';
  if (/_per_s$/.test(path)) return 'rate';
  return /(^|_)share(_|$)/.test(path.replace(/^.*\./, '')) ? 'share' : 'number';
}
