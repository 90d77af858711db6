import { stat } from "node:fs/promises";
import * as v from "valibot";
import { joinList, PithError } from "#ir";
import { option } from "#pass";
import { counted, integer } from "../../../core/numbers.ts";
import type { ChannelsExplanation, Explanation } from "../../../search/sensitivity/explain.ts";
import { kindWords } from "../../../search/sensitivity/sensitivity-record.ts";
import { defineCommand } from "../command.ts";
import type inspectJob from "../jobs/inspect.ts";
import { show } from "../print/inspection.ts";
import type { Page } from "../print/page.ts";

/** Maximum bytes of a file that is read in this process, without starting another. Reading its graph takes less than a second. */
const maxBytesHere = 2 ** 24;

export default defineCommand({
  name: "inspect",
  summary: "show inputs, outputs, operators, layers and sizes of a model, or what techniques do to one layer",
  arguments: [
    { name: "model.onnx", description: "the model" },
    { name: "layer", description: "explain why techniques skip this layer or its channels", optional: true },
  ],
  options: v.object({
    weights: option(v.boolean(), "read the weights: zeros, range, and the rank that holds 95 % of the energy"),
    channel: option(v.pipe(v.number(), v.integer(), v.minValue(0)), "output channel of the layer, from 0"),
  }),
  deterministic: true,
  examples: [
    "inspect model.onnx",
    "inspect model.onnx --weights",
    "inspect model.onnx --json",
    "inspect resnet20.onnx layer1.0.conv1 --channel 3",
  ],
  async run([model = "", layer], { weights = false, channel }, session) {
    if (layer === undefined ? channel !== undefined : weights)
      throw new PithError(
        "E_OPTION",
        `--${weights ? "weights" : "channel"} is ${weights ? "not " : ""}for a single layer.`,
        { hint: "Give a layer with --channel, and none with --weights." },
      );
    const input = { model, weights, layer, channel, seed: session.seed };
    const isSmall = ((await stat(model).catch(() => undefined))?.size ?? 0) <= maxBytesHere;
    const isHere = isSmall && !weights && layer === undefined;
    const output = await session.job<typeof inspectJob>("inspect", input, `inspect ${model}`, { isHere });
    if ("techniques" in output)
      return { data: { model, ...output }, print: (terminal) => showExplanation(output, terminal) };
    const { description, weights: numbers, zeros } = output;
    return {
      data: numbers === undefined ? description : { ...description, zeros, weights: numbers },
      print: (terminal) => show(description, { numbers, zeros }, terminal),
    };
  },
});

function showExplanation(
  { layer, operator, dims, parameters, channels, techniques }: Explanation,
  terminal: Page,
): void {
  const { bold, dim } = terminal.color;
  terminal.line(`${bold(layer)}  ${operator}, [${dims.join(", ")}], ${integer(parameters)} weights`);
  if (channels !== undefined) for (const line of channelLines(channels)) terminal.line(line);
  terminal.table(
    [{ title: "technique, on this layer alone" }, { title: "mildest setting" }, { title: "result" }],
    techniques.map(({ kind, setting, text }) => [
      kindWords[kind].title,
      setting === undefined ? dim("none") : kindWords[kind].text(setting),
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
