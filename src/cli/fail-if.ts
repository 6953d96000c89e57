import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { count, percent, rate, shortDuration, signedPercent } from '../report/units.ts';
import { type Condition, ConditionError, judge, parseCondition, type Subject } from '../views/conditions.ts';
import { measureOf } from '../views/figures.ts';
import { say } from './say.ts';

/** The exit status where an answer is there, and bad: a condition holds, or something leaked. */
export const badStatus = 3;

/** Gives a command the option `--fail-if`; `what` says what its conditions can be about. */
export function failIfOption(command: Command, what: string): Command {
  return command
    .option('--fail-if <condition>', 'exit with status 3 where this holds; may be repeated', parse)
    .addHelpText('after', `\nConditions are FIGURE(WHAT) > VALUE, with >, >=, < or <=: ${what}.`);
}

function parse(text: string, previous: readonly Condition[] = []): Condition[] {
  try {
    return [...previous, parseCondition(text)];
  } catch (error) {
    if (error instanceof ConditionError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

/**
 * Says which conditions hold, and sets the exit status. Throws a UsageError for one that is about nothing here, or about a
 * time that nothing took: what nobody measured has not passed.
 */
export function failIf(
  conditions: readonly Condition[] | undefined,
  subjects: () => readonly Subject[],
  same?: (asked: string, name: string) => boolean,
): void {
  if (conditions === undefined) return;
  const all = subjects();
  for (const condition of conditions) {
    let result: ReturnType<typeof judge>;
    try {
      result = judge(condition, all, same);
    } catch (error) {
      if (error instanceof ConditionError) throw new UsageError(`--fail-if ${error.message}`);
      throw error;
    }
    const { actual } = result;
    if (Number.isNaN(actual))
      throw new UsageError(`--fail-if ${condition.text}: cannot be judged, there is nothing of the kind`);
    if (!result.holds) continue;
    process.exitCode = badStatus;
    say(`virtap: ${condition.text}: it is ${written(condition, actual)}\n`);
  }
}

function written({ figure, change }: Condition, value: number): string {
  if (change) return signedPercent(value);
  switch (measureOf(figure)) {
    case 'number':
      return count(value);
    case 'share':
      return percent(value);
    case 'rate':
      return rate(value);
    case 'length':
      return shortDuration(value);
  }
}
