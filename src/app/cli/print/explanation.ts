import { joinList } from "#ir";
import { counted, integer } from "../../../core/numbers.ts";
import type { ChannelsExplanation, Explanation } from "../../../search/sensitivity/explain.ts";
import { kindWords } from "../../../search/sensitivity/sensitivity-record.ts";
import type { Terminal } from "./terminal.ts";

export function showExplanation(
  { layer, operator, dims, parameters, channels, techniques }: Explanation,
  terminal: Terminal,
): void {
  const { bold, dim } = terminal.color;
  terminal.line(`${bold(layer)}  ${operator}, [${dims.join(", ")}], ${integer(parameters)} weights`);
  if (channels !== undefined) for (const line of channelLines(channels)) terminal.line(line);
  terminal.table(
    [{ title: "this layer alone" }, { title: "from" }, { title: "" }],
    techniques.map(({ kind, setting, text }) => [
      kindWords[kind].title,
      setting === undefined ? dim("stays") : kindWords[kind].text(setting),
      text,
    ]),
  );
}

function channelLines({
  count,
  free,
  freeThroughNorms,
  together,
  reasons,
  one,
}: ChannelsExplanation): readonly string[] {
  const coupled = together.length === 0 ? "" : `, together with those of ${joinList(together, 6)}`;
  return [
    `channels: ${free} of ${count} can be removed${coupled}`,
    ...reasons.map(({ channels, reason }) => `  ${counted(channels, "channel")} cannot: ${reason}`),
    ...(freeThroughNorms > free
      ? [`  with --through-norms ${freeThroughNorms} of ${count} can; the result needs pith recover`]
      : []),
    ...(one === undefined ? [] : [`  channel ${one.channel}: ${channelText(one)}`]),
  ];
}

function channelText({ from, reason }: NonNullable<ChannelsExplanation["one"]>): string {
  if (from === undefined) return `kept at any amount: ${reason}`;
  return `removed by pith prune --structured ${Number((100 * from).toFixed(1))}% --importance magnitude, and by any larger amount`;
}
