import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { parseMoment } from './options.ts';
import { say } from './say.ts';

/*
 * `--from` and `--to` are times in every command. pairs had its events there, export its form, and both had the times under other names: these
 * words still do what they did in this version, and say how it is said now.
 */

/** What stood behind an option that means a time now: what it named is `option`'s. */
type OldWord = { option: string; text: string };

const oldRange = [
  ['since', 'from'],
  ['until', 'to'],
] as const;

/** Lets a command take `--since` and `--until`, and in `--from` or `--to` what it took there before, where `isOld` knows it as such: it is for the option beside it now. */
export function takeOldWords(
  command: Command,
  instead: { from?: string; to?: string },
  isOld: (text: string) => boolean,
): void {
  for (const [old] of oldRange)
    command.addOption(command.createOption(`--${old} <time>`).argParser(parseMoment).hideHelp());
  for (const [name, option] of Object.entries(instead)) {
    const time = command.options.find(({ long }) => long === `--${name}`);
    time?.argParser((text: string): unknown =>
      isOld(text) ? ({ option, text } satisfies OldWord) : parseMoment(text),
    );
  }
}

/** A command may be obeyed twice, and says this once. */
const told = new Set<string>();

function tell(text: string): void {
  if (!told.has(text)) say(`virtap: ${text}\n`);
  told.add(text);
}

/** Puts what was said in old words where it is asked for now. */
export function translateOldWords(command: Command): void {
  const options = command.opts<Record<string, unknown>>();
  for (const [old, now] of oldRange) {
    const word = options[now];
    if (isOldWord(word)) {
      tell(`--${now} is a time now; what it names here is --${word.option}`);
      command.setOptionValue(word.option, parsed(command, word));
      command.setOptionValue(now, undefined);
    }
    if (options[old] === undefined) continue;
    tell(`--${old} is called --${now} now`);
    command.setOptionValue(now, options[old]);
  }
}

function isOldWord(value: unknown): value is OldWord {
  return typeof value === 'object' && value !== null && 'option' in value;
}

function parsed(command: Command, { option, text }: OldWord): unknown {
  const { parseArg } = command.options.find(({ long }) => long === `--${option}`) ?? {};
  try {
    return parseArg === undefined ? text : parseArg(text, undefined);
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new UsageError(`'${text}': ${error.message}`);
    throw error;
  }
}
