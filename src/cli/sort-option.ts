import { type Command, InvalidArgumentError, Option } from 'commander';
import { columnNamed, columnTitles, columnWords } from '../report/column-names.ts';
import type { Column } from '../report/columns.ts';
import { didYouMean } from './suggest.ts';

/** Gives a command the option to sort its rows by any of their columns, by title or by name in JSON. `usual`: by which where nobody says. */
export function sortOption(
  command: Command,
  what: string,
  columns: readonly Column<never, never>[],
  usual?: string,
): Command {
  const titles = columnTitles(columns);
  const parse = (word: string): string => {
    if (word === 'name' || columnNamed(columns, word) !== undefined) return word;
    const near = didYouMean(word, [...titles, ...columnWords(columns)]);
    throw new InvalidArgumentError(
      `There is no column ${word}${near}${near === '' ? '.' : ''} There is ${titles.join(', ')}, and what JSON has.`,
    );
  };
  const option = new Option('-s, --sort <column>', `sort ${what} by this column, or by a number of the JSON`);
  return command.addOption((usual === undefined ? option : option.default(usual)).choices(titles).argParser(parse));
}
