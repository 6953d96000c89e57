import { Argument, type Command } from 'commander';
import type { CommandLine } from './command.ts';
import { print } from './say.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** What can be completed after one command. */
type Words = {
  name: string;
  summary: string;
  options: { flags: string[]; takesValue: boolean; choices: readonly string[]; text: string }[];
  /** Values of the first argument where it is not a file. */
  values: readonly string[];
};

export default function define(command: Command, line: CommandLine): void {
  command
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText(
      'after',
      `
Examples:
  bash  echo 'source <(virtap completion bash)' >> ~/.bashrc
  zsh   virtap completion zsh > "\${fpath[1]}/_virtap"
  fish  virtap completion fish > ~/.config/fish/completions/virtap.fish`,
    )
    .action(async (shell: Shell) => {
      const words = await Promise.all(
        line.commands.filter((entry) => entry.hidden !== true).map((entry) => wordsOf(entry.name, line)),
      );
      print({ bash, zsh, fish }[shell](words));
    });
}

async function wordsOf(name: string, { build }: CommandLine): Promise<Words> {
  const program = await build([name]);
  const command = program.commands.find((one) => one.name() === name) as Command;
  const help = command.createHelp();
  return {
    name,
    summary: command.summary(),
    options: help.visibleOptions(command).map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined),
      takesValue: option.required || option.optional,
      choices: option.argChoices ?? [],
      text: option.description.replaceAll('\n', ' '),
    })),
    values: command.registeredArguments[0]?.argChoices ?? [],
  };
}

function bash(commands: readonly Words[]): string {
  const cases = commands.map(({ name, options, values }) => {
    const flags = options.flatMap((option) => option.flags).join(' ');
    const choices = options
      .filter((option) => option.choices.length > 0)
      .map(
        (option) =>
          `        ${option.flags.join('|')}) COMPREPLY=($(compgen -W '${option.choices.join(' ')}' -- "$word")); return ;;`,
      );
    const files = values.length > 0 ? `COMPREPLY=($(compgen -W '${values.join(' ')}' -- "$word"))` : 'COMPREPLY=()';
    return `    ${name})
      case $previous in
${choices.join('\n')}${choices.length > 0 ? '\n' : ''}        *) ;;
      esac
      case $word in
        -*) COMPREPLY=($(compgen -W '${flags}' -- "$word")) ;;
        *) ${files} ;;
      esac
      ;;`;
  });
  return `# bash completion for virtap; without an answer, -o default completes file names.
_virtap() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${[...commands.map(({ name }) => name), 'help', '--help', '--version'].join(' ')}' -- "$word"))
    return
  fi
  case \${COMP_WORDS[1]} in
    help) COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$word")) ;;
${cases.join('\n')}
  esac
}
complete -o default -F _virtap virtap
`;
}

function zsh(commands: readonly Words[]): string {
  // In _arguments' specifications, brackets and colons have a meaning; in single quotes, the quote.
  const quote = (text: string) => text.replaceAll("'", "'\\''").replace(/[[\]:]/g, '\\$&');
  const cases = commands.map(({ name, options, values }) => {
    const specs = options.flatMap((option) =>
      option.flags.map((flag) => {
        const value = !option.takesValue
          ? ''
          : option.choices.length > 0
            ? `:value:(${option.choices.join(' ')})`
            : ':value:_files';
        return `'*${flag}[${quote(option.text)}]${value}'`;
      }),
    );
    specs.push(values.length > 0 ? `'1:value:(${values.join(' ')})'` : "'*:file:_files'");
    return `    ${name}) _arguments \\\n      ${specs.join(' \\\n      ')} ;;`;
  });
  return `#compdef virtap
_virtap() {
  if (( CURRENT == 2 )); then
    local -a names=(
${commands.map(({ name, summary }) => `      '${name}:${quote(summary)}'`).join('\n')}
      'help:help on a command'
    )
    _describe command names
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
    help) _values command ${commands.map(({ name }) => name).join(' ')} ;;
${cases.join('\n')}
    *) _files ;;
  esac
}
if [ "$funcstack[1]" = _virtap ]; then _virtap "$@"; else compdef _virtap virtap; fi
`;
}

function fish(commands: readonly Words[]): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = ['# fish completion for virtap'];
  const first = `not __fish_seen_subcommand_from ${commands.map(({ name }) => name).join(' ')} help`;
  for (const { name, summary } of commands)
    lines.push(`complete -c virtap -f -n ${quote(first)} -a ${name} -d ${quote(summary)}`);
  lines.push(
    `complete -c virtap -f -n ${quote('__fish_seen_subcommand_from help')} -a ${quote(commands.map(({ name }) => name).join(' '))}`,
  );
  for (const { name, options, values } of commands) {
    const when = quote(`__fish_seen_subcommand_from ${name}`);
    if (values.length > 0) lines.push(`complete -c virtap -f -n ${when} -a ${quote(values.join(' '))}`);
    for (const option of options) {
      const flags = option.flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const value = !option.takesValue
        ? ''
        : option.choices.length > 0
          ? ` -x -a ${quote(option.choices.join(' '))}`
          : ' -r';
      lines.push(`complete -c virtap -n ${when} ${flags.join(' ')}${value} -d ${quote(option.text)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
