/** docs/cli.md: every command with its arguments, options and examples, from the definitions that also make `--help`. */
import type { Command, Option } from "commander";
import { buildCommand, type CommandDefinition, guideOf } from "../../src/app/cli/command.ts";
import { Flag, meaningsOf } from "../../src/app/cli/flags/options.ts";
import type { Meanings } from "../../src/core/pass/options.ts";
import { ruleDescriptions } from "../../src/rewrite/clean-up/simplify.ts";
import { type Generator, sourceNotice } from "./generator.ts";
import { headingAnchor } from "./heading-anchor.ts";

export const commandPage: Generator = {
  async generate() {
    const { allCommands } = await import("./commands.ts");
    const commands = await allCommands();
    return new Map([["docs/cli.md", renderCommands(commands.map(({ definition }) => definition))]]);
  },
};

/** Options of every command: the introduction describes them. */
const introduced: ReadonlySet<string> = new Set(["--help", "--help-all", "--json"]);

/** Ends the description of an option that a command requires. */
const required = " (required)";

interface BuiltCommand {
  readonly definition: CommandDefinition;
  readonly command: Command;
  /** Rows of options by heading. */
  readonly groups: ReadonlyMap<string, readonly OptionRow[]>;
  readonly meanings: readonly (readonly [key: string, meanings: Meanings])[];
}

interface OptionRow {
  readonly key: string;
  readonly flag: string;
  /** The row of the table, without whether the command requires the option. */
  readonly text: string;
  readonly isRequired: boolean;
}

export function renderCommands(definitions: readonly CommandDefinition[]): string {
  const built = definitions.map(build);
  const shared = sharedGroups(built);
  return `${sourceNotice("src/app/cli/commands/ and the passes")}

# Commands

\`npx --no-install pith <command> --help\` prints the options in bold, or all if none is; \`--help-all\` prints all.

${table(
  ["command", "what it does"],
  definitions.map(({ name, summary }) => [`[${name}](#${name})`, cell(summary)]),
)}

Every command accepts \`--help\` and \`--json\`. With \`--json\`, standard output is one JSON document; after an error it is empty, and standard error has \`{"error": …}\`. The exit codes are 0 (done), 1 (failed, or a goal was missed), 2 (wrong usage), 3 (\`check\`: undecided), 130 (Ctrl-C) and 143 (SIGTERM).

Shares are written as \`30%\` or \`0.3\`. Lists are separated by commas. A model can be a file, a folder, or \`hf:owner/name\` for [one of the Hub](transformers-js.md#models-of-the-hub).

${[...built.map((command) => renderCommand(command, shared)), ...renderShared(built, shared)].join("\n\n")}
`;
}

function build(definition: CommandDefinition): BuiltCommand {
  const { passSchema, options } = definition;
  const command = buildCommand(definition, async () => {});
  const help = command.createHelp();
  const flags = command.options.filter(({ long }) => long === undefined || !introduced.has(long));
  const grouped = help.groupItems(flags, flags, ({ helpGroupHeading = "Options:" }) => helpGroupHeading);
  const rowOf = (option: Option): OptionRow => {
    const description = help.optionDescription(option);
    return {
      key: option.attributeName(),
      flag: option.long ?? option.flags,
      text: row([
        bold(code(option.flags), option instanceof Flag && option.isCommon),
        cell(description.replace(required, "")),
      ]),
      isRequired: description.endsWith(required),
    };
  };
  return {
    definition,
    command,
    groups: new Map([...grouped].map(([heading, members]) => [heading, members.map(rowOf)])),
    meanings: [...(passSchema === undefined ? [] : meaningsOf(passSchema)), ...meaningsOf(options)],
  };
}

/** Returns the options that most commands have with the same meaning, by heading; these are described once. */
function sharedGroups(built: readonly BuiltCommand[]): ReadonlyMap<string, readonly OptionRow[]> {
  const headings = new Set(built.flatMap(({ groups }) => [...groups.keys()]));
  headings.delete("Options:");
  const shared = [...headings].map((heading) => {
    const options = built.flatMap(({ groups }) => groups.get(heading) ?? []);
    const rows = new Map(options.toReversed().map((option) => [option.text, option]));
    const isShared = ({ flag, text }: OptionRow): boolean => {
      const repeats = options.filter((option) => option.text === text).length;
      return repeats > 1 && 2 * repeats > options.filter((option) => option.flag === flag).length;
    };
    return [heading, options.filter((option) => rows.get(option.text) === option && isShared(option))] as const;
  });
  return new Map(shared.filter(([, rows]) => rows.length > 1));
}

function renderCommand(
  { definition, command, groups, meanings }: BuiltCommand,
  shared: ReadonlyMap<string, readonly OptionRow[]>,
): string {
  const { name, arguments: words, examples } = definition;
  const help = command.createHelp();
  const guide = guideOf(name)?.replace("docs/", "");
  const sharedKeys = new Set<string>();
  const sections = [...groups].flatMap(([heading, rows]) => {
    const texts = new Set((shared.get(heading) ?? []).map(({ text }) => text));
    const [once, specific] = [rows.filter(({ text }) => texts.has(text)), rows.filter(({ text }) => !texts.has(text))];
    for (const { key } of once) sharedKeys.add(key);
    const title = cell(titleOf(heading));
    const list = once.map(({ flag, isRequired }) => `${code(flag)}${isRequired ? required : ""}`).join(", ");
    const link =
      specific.length === 0 ? `**[${title}](#${headingAnchor(title)})**` : `[Shared](#${headingAnchor(title)})`;
    return [
      ...(specific.length === 0 ? [] : [`**${cell(heading.replace(/:$/, ""))}**\n\n${optionTable(specific)}`]),
      ...(once.length === 0 ? [] : [`${link}: ${list}`]),
    ];
  });
  return [
    `## ${name}`,
    `${cell(command.description())}${guide === undefined ? "" : ` Guide: [${guide}](${guide}).`}`,
    `Usage: \`pith ${help.commandUsage(command)}\``,
    ...(words.length === 0
      ? []
      : [
          table(
            ["argument", "meaning"],
            command.registeredArguments.map((argument) => [
              `\`${argument.name()}\``,
              cell(help.argumentDescription(argument)),
            ]),
          ),
        ]),
    ...sections,
    ...meanings.flatMap(([key, described]) => (sharedKeys.has(key) ? [] : [meaningTable(described)])),
    // The command does not load the rules to show its help.
    ...(name === "simplify" ? [meaningTable({ title: "Rules (--only, --skip)", rows: [...ruleDescriptions] })] : []),
    `Examples:\n\n\`\`\`sh\n${examples.map((line) => `npx --no-install pith ${line}`).join("\n")}\n\`\`\``,
  ].join("\n\n");
}

function renderShared(
  built: readonly BuiltCommand[],
  shared: ReadonlyMap<string, readonly OptionRow[]>,
): readonly string[] {
  if (shared.size === 0) return [];
  const meanings = new Map(built.flatMap((command) => command.meanings));
  return [
    "## Shared options",
    ...[...shared].flatMap(([heading, rows]) => {
      const [, guide] = /docs\/([\w-]+\.md)/.exec(heading) ?? [];
      return [
        `### ${titleOf(heading)}`,
        ...(guide === undefined ? [] : [`Guide: [${guide}](${guide}).`]),
        optionTable(rows.map((option) => ({ ...option, isRequired: false }))),
        ...rows.flatMap(({ key }) => {
          const described = meanings.get(key);
          return described === undefined ? [] : [meaningTable(described)];
        }),
      ];
    }),
  ];
}

/** "Data (docs/data.md):" → "Data" */
const titleOf = (heading: string): string => heading.replace(/ \(.*|:$/g, "");

function optionTable(rows: readonly OptionRow[]): string {
  const texts = rows.map(({ text, isRequired }) => (isRequired ? text.replace(/ \|$/, `${required} |`) : text));
  return [row(["option", "meaning"]), row(["---", "---"]), ...texts].join("\n");
}

function meaningTable({ title, rows }: Meanings): string {
  return `**${cell(title)}**\n\n${table(
    ["value", "meaning"],
    rows.map(([word, meaning]) => [code(word), cell(meaning)]),
  )}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map(row).join("\n");
}

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** Escapes what Markdown would interpret, and links pages. */
function cell(text: string): string {
  return text
    .replaceAll(/[|<*]/g, (sign) => `\\${sign}`)
    .replaceAll(/docs\/([\w-]+\.md)/g, (_, page: string) => `[${page}](${page})`);
}

const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``;

const bold = (text: string, isBold: boolean): string => (isBold ? `**${text}**` : text);
