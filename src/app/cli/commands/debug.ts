import * as v from "valibot";
import { capitalize, groupBy, type Miss } from "#ir";
import { option } from "#pass";
import { counted } from "../../../core/numbers.ts";
import { decibelsLegend } from "../../../judge/record/verdict.ts";
import { blameText, isSpread } from "../../../runtime/noise/layer-errors.ts";
import { decibelsText, placeName, shareText, togetherNote } from "../../report/debug.ts";
import { defineCommand } from "../command.ts";
import { exists, requireOther, withoutLeftovers } from "../files/files.ts";
import { requireWritable } from "../files/writable.ts";
import { dataFlags, dataRequest } from "../flags/data.ts";
import { metricFlags } from "../flags/metrics.ts";
import type debugJob from "../jobs/debug.ts";
import { columns } from "../print/table.ts";

const maxLayers = 20;

export default defineCommand({
  name: "debug",
  summary: "find the layers in which a compressed model differs from its original",
  arguments: [
    { name: "original.onnx", description: "the original" },
    { name: "model.onnx", description: "the compressed model" },
  ],
  options: v.object({
    out: option(v.string(), "also write all layers as a chart and a table", { short: "-o", value: "debug.html" }),
    output: metricFlags.output,
    ...dataFlags,
  }),
  examples: ["debug model.onnx model.int8.onnx", "debug model.onnx model.int8.onnx --data cifar10/ -o debug.html"],
  async run([original = "", model = ""], { out, output, ...flags }, session) {
    const data = dataRequest(flags);
    if (out !== undefined) {
      await requireOther(out, [
        ["the original", original],
        ["the model itself", model],
        ["the data", data?.path],
      ]);
      await requireWritable(out);
    }
    const replaced = out !== undefined && (await exists(out));
    const input = { original, model, out, data, output, seed: session.seed };
    const work = () => session.job<typeof debugJob>("debug", input, `debug ${model}`);
    const written = out === undefined ? [] : [out];
    const { layers, lost, blamed, misses, on, preprocessing } = await withoutLeftovers(written, work);
    const ranking = layers.toSorted((a, b) => (b.share ?? -1) - (a.share ?? -1) || a.signalToNoise - b.signalToNoise);
    const blamedLayer = blamed === undefined || isSpread(blamed) ? undefined : blamed.layers[0];
    const changedLayers = ranking.filter(({ signalToNoise }) => signalToNoise !== Number.POSITIVE_INFINITY);
    return {
      data: {
        original,
        model,
        on,
        lost,
        // Layers that lost the same channels have one joint error, so they are blamed together.
        blamed: blamed?.layers.length === 1 ? blamed.layers[0] : undefined,
        blamedTogether: blamed !== undefined && blamed.layers.length > 1 ? blamed.layers : undefined,
        layers,
        misses: misses.map(({ at, reason }) => ({ at, reason })),
        written: out,
      },
      print(terminal) {
        const { bold, dim } = terminal.color;
        terminal.line(`${bold(model)} against ${original}, on ${on}`);
        if (preprocessing !== undefined) terminal.line(`preprocessing: ${preprocessing}`);
        if (changedLayers.length > 0)
          terminal.table(
            [{ title: "layer" }, ...columns("", "weight", "isolated", "cumulative", "share of error")],
            changedLayers
              .slice(0, maxLayers)
              .map((row) => [
                row.layer === blamedLayer ? bold(placeName(row)) : placeName(row),
                dim(row.operator),
                ...[row.weight, row.own, row.signalToNoise].map(decibelsText),
                shareText(row.share),
              ]),
          );
        if (changedLayers.length > maxLayers)
          terminal.line(
            `and ${counted(changedLayers.length - maxLayers, "more layer")} (--json and -o debug.html have all)`,
          );
        if (changedLayers.length > 0) for (const line of legend) terminal.line(dim(line));
        const jointNote = togetherNote(changedLayers.slice(0, maxLayers));
        if (jointNote !== "") terminal.line(dim(jointNote));
        const equalCount = layers.length - changedLayers.length;
        if (equalCount > 0) terminal.line(`${counted(equalCount, "layer")} as in the original`);
        for (const text of notComparedLines(misses)) terminal.line(text);
        if (lost !== undefined) terminal.line(`${capitalize(lost)}.`);
        const noDifferenceText = misses.length > 0 ? "No other layer differs." : "No layer differs.";
        terminal.line(blamed === undefined ? noDifferenceText : `${blameText(blamed)}.`);
        if (out !== undefined) terminal.line(`written: ${bold(out)}${replaced ? " (replaced)" : ""}`);
      },
    };
  },
});

const legend = [
  decibelsLegend,
  "weight: of the stored weight; isolated: of the layer's output, with the original's inputs; cumulative: with the errors of all layers before it",
  "share of error: error of the model's outputs with only this layer changed, relative to the whole error (shares need not add up to 100 %)",
];

function notComparedLines(misses: readonly Miss[]): readonly string[] {
  return Array.from(
    groupBy(misses, ({ reason }) => reason),
    ([reason, group]) => {
      const layers = group.flatMap(({ at }) => at ?? []);
      const layersText =
        layers.length > 2 ? `${counted(layers.length, "layer")}: ` : layers.length > 0 ? `${layers.join(", ")}: ` : "";
      return `not compared: ${layersText}${reason}`;
    },
  );
}
