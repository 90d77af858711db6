import type { Command, Option } from "commander";
import { Flag } from "./options.ts";

export interface Candidate {
  readonly word: string;
  readonly meaning: string;
}

/** @param words without `pith`; the last one is incomplete. @returns an empty list if any file name is possible. */
export function candidates(program: Command, words: readonly string[]): readonly Candidate[] {
  const last = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const [name] = before;
  const command = program.commands.find((candidate) => candidate.name() === name);
  const value = valueAt(command, before, last);
  if (value !== undefined)
    return wordsOf(value.flag, value.typed).map((word) => ({ word: value.before + word, meaning: "" }));
  return candidatesAt(program, command, before, last).filter(({ word }) => word.startsWith(last));
}

function candidatesAt(
  program: Command,
  command: Command | undefined,
  before: readonly string[],
  last: string,
): readonly Candidate[] {
  if (last.startsWith("-") && !before.includes("--"))
    return visibleFlags(command ?? program).flatMap(({ long, description }) =>
      long === undefined || long === null
        ? []
        : [{ word: long, meaning: description.replace(/ \(see below[^)]*\)/, "") }],
    );
  const [name] = before;
  if (name === undefined || (name === "help" && before.length === 1))
    return program
      .createHelp()
      .visibleCommands(program)
      .map((listed) => ({ word: listed.name(), meaning: listed.summary() || listed.description() }));
  const { registeredArguments = [] } = command ?? {};
  const argument = registeredArguments[positionals(command, before.slice(1))] ?? registeredArguments.at(-1);
  return (argument?.argChoices ?? []).map((word) => ({ word, meaning: "" }));
}

/** Finds the flag whose value is typed, and the text before the value in the same word. */
function valueAt(
  command: Command | undefined,
  before: readonly string[],
  last: string,
): { readonly flag: Option; readonly typed: string; readonly before: string } | undefined {
  const [previous, earlier] = [before.at(-1), before.at(-2)];
  const [, inside, typed = ""] = /^(--[^=]+)=(.*)$/s.exec(last) ?? [];
  // bash splits words at "=".
  const candidate =
    inside !== undefined
      ? { flag: findFlag(command, inside), typed, before: `${inside}=` }
      : last === "="
        ? { flag: findFlag(command, previous), typed: "", before: "" }
        : previous === "="
          ? { flag: findFlag(command, earlier), typed: last, before: "" }
          : { flag: last.startsWith("-") ? undefined : findFlag(command, previous), typed: last, before: "" };
  const { flag } = candidate;
  // An optional value may be omitted, so the word can be something else.
  const isValue = flag?.required === true || (flag?.optional === true && wordsOf(flag, candidate.typed).length > 0);
  return flag !== undefined && isValue ? { ...candidate, flag } : undefined;
}

function wordsOf(flag: Option, typed: string): readonly string[] {
  if (!(flag instanceof Flag)) return [];
  const complete = flag.isList ? typed.split(",").slice(0, -1) : [];
  const before = complete.map((word) => `${word},`).join("");
  return flag.words.flatMap((word) => {
    const value = before + word;
    return complete.includes(word) || !value.startsWith(typed) ? [] : [value];
  });
}

function positionals(command: Command | undefined, words: readonly string[]): number {
  const isOther = (word: string, index: number): boolean =>
    word.startsWith("-") || findFlag(command, words[index - 1])?.required === true;
  return words.filter((word, index) => !isOther(word, index)).length;
}

function findFlag(command: Command | undefined, word: string | undefined): Option | undefined {
  return command?.options.find(({ long, short }) => word !== undefined && (word === long || word === short));
}

function visibleFlags(command: Command): readonly Option[] {
  return command.createHelp().visibleOptions(command);
}
