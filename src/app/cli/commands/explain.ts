import * as v from "valibot";
import { joinList } from "../../../core/errors.ts";
import { counted, integer } from "../../../core/numbers.ts";
import { option } from "../../../core/pass/options.ts";
import type { ChannelsExplanation } from "../../../search/sensitivity/explain.ts";
import { kindWords } from "../../../search/sensitivity/sensitivity-record.ts";
import { defineCommand } from "../command.ts";
import type explainJob from "../jobs/explain.ts";

export default defineCommand({
  name: "explain",
  summary: "explain why a technique skips a layer or a channel, and what would change that",
  arguments: [
    { name: "model.onnx", description: "the model" },
    { name: "layer", description: "layer name, as printed by pith inspect" },
  ],
  options: v.object({
    channel: option(v.pipe(v.number(), v.integer(), v.minValue(0)), "output channel of the layer, from 0"),
  }),
  examples: ["explain resnet20.onnx layer1.0.conv1", "explain resnet20.onnx layer1.0.conv1 --channel 3"],
  async run([model = "", layer = ""], { channel }, session) {
    const input = { model, layer, channel, seed: session.seed };
    const explanation = await session.job<typeof explainJob>("explain", input, `explain ${model}`);
    return {
      data: { model, ...explanation },
      print(terminal) {
        const { bold, dim } = terminal.color;
        const { operator, dims, parameters, channels, techniques } = explanation;
        terminal.line(`${bold(explanation.layer)}  ${operator}, [${dims.join(", ")}], ${integer(parameters)} weights`);
        if (channels !== undefined) for (const line of channelLines(channels)) terminal.line(line);
        terminal.table(
          [{ title: "this layer alone" }, { title: "from" }, { title: "" }],
          techniques.map(({ kind, setting, text }) => [
            kindWords[kind].title,
            setting === undefined ? dim("stays") : kindWords[kind].text(setting),
            text,
          ]),
        );
      },
    };
  },
});

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
