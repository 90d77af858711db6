import type { Command, Option } from "commander";
import { Flag } from "./options.ts";

export interface Candidate {
  readonly word: string;
  readonly meaning: string;
}

/**
 * Returns the possible words at the cursor; an empty list if the shell should offer file names.
 * @param words words of the command line after `pith`. The last word is incomplete.
 */
export function completionCandidates(program: Command, words: readonly string[]): readonly Candidate[] {
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
  const argument = registeredArguments[countArguments(command, before.slice(1))] ?? registeredArguments.at(-1);
  return (argument?.argChoices ?? []).map((word) => ({ word, meaning: "" }));
}

/** Returns the flag whose value is being typed, the value so far, and the text before it in the same word. */
function valueAt(
  command: Command | undefined,
  before: readonly string[],
  last: string,
): { readonly flag: Option; readonly typed: string; readonly before: string } | undefined {
  const [previous, earlier] = [before.at(-1), before.at(-2)];
  const [, attachedFlag, typed = ""] = /^(--[^=]+)=(.*)$/s.exec(last) ?? [];
  // bash splits words at "=", so the sign can be a word by itself.
  const candidate =
    attachedFlag !== undefined
      ? { flag: findFlag(command, attachedFlag), typed, before: `${attachedFlag}=` }
      : last === "="
        ? { flag: findFlag(command, previous), typed: "", before: "" }
        : previous === "="
          ? { flag: findFlag(command, earlier), typed: last, before: "" }
          : { flag: last.startsWith("-") ? undefined : findFlag(command, previous), typed: last, before: "" };
  const { flag } = candidate;
  // If the flag's value is optional, a word that no value starts with is an argument of the command.
  const isValue = flag?.required === true || (flag?.optional === true && wordsOf(flag, candidate.typed).length > 0);
  return flag !== undefined && isValue ? { ...candidate, flag } : undefined;
}

function wordsOf(flag: Option, typed: string): readonly string[] {
  if (!(flag instanceof Flag)) return [];
  const completeValues = flag.isList ? typed.split(",").slice(0, -1) : [];
  const prefix = completeValues.map((word) => `${word},`).join("");
  return flag.acceptedWords.flatMap((word) => {
    const value = prefix + word;
    return completeValues.includes(word) || !value.startsWith(typed) ? [] : [value];
  });
}

function countArguments(command: Command | undefined, words: readonly string[]): number {
  const isFlagOrValue = (word: string, index: number): boolean =>
    word.startsWith("-") || findFlag(command, words[index - 1])?.required === true;
  return words.filter((word, index) => !isFlagOrValue(word, index)).length;
}

function findFlag(command: Command | undefined, word: string | undefined): Option | undefined {
  return command?.options.find(({ long, short }) => word !== undefined && (word === long || word === short));
}

function visibleFlags(command: Command): readonly Option[] {
  return command.createHelp().visibleOptions(command);
}
