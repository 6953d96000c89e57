import type { Command } from 'commander';

/** The whole command line, for the commands that use others. */
export type CommandLine = {
  commands: readonly CommandEntry[];
  /** The program with the command that `args` call. */
  build(args: readonly string[]): Promise<Command>;
  /** Does what `args` say. */
  obey(args: readonly string[]): Promise<unknown>;
};

/** One command: loaded only when it is called, so that start-up stays small. */
export type CommandEntry = {
  name: string;
  summary: string;
  /** Not listed in the help. */
  hidden?: true;
  /** The module's default export adds arguments, options, help and action to the command. */
  load(): Promise<{ default: (command: Command, line: CommandLine) => void }>;
};
