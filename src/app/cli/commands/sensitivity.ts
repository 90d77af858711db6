import { join } from "node:path";
import * as v from "valibot";
import { PithError } from "#ir";
import { countOption, described, minutesOption, option, positiveOption, selectionOptions } from "#pass";
import { counted, duration, figure, figureInterval, unitOfChange } from "../../../core/numbers.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { ownTextName } from "../../../judge/task/text-inputs.ts";
import {
  dropText,
  equalSettingsText,
  headline,
  kindWords,
  type Sensitivity,
  selectKind,
  sensitivityCosts,
  sensitivityKinds,
} from "../../../search/sensitivity/sensitivity-record.ts";
import { defineCommand } from "../command.ts";
import { besideInput, withoutLeftovers } from "../files/files.ts";
import { requireFreeFolder, sweptFolder } from "../files/result-folder.ts";
import { freshFlag, withSteps } from "../files/steps-folder.ts";
import { dataFlags, dataGroup, dataRequest, dataWords } from "../flags/data.ts";
import { metricFlags } from "../flags/metrics.ts";
import { workerFlags, workerOptionsOf } from "../flags/worker-flags.ts";
import type sensitivityJob from "../jobs/sensitivity.ts";
import type { Page } from "../print/page.ts";
import { columns } from "../print/table.ts";

const maxLayers = 20;

const share = v.pipe(positiveOption, v.maxValue(1, "must be at most 1"));

export default defineCommand({
  name: "sensitivity",
  summary: "measure how sensitive each layer is, and write recipes that protect the sensitive ones",
  arguments: [{ name: "model.onnx", description: "the model (not changed)" }],
  options: v.object({
    out: option(v.string(), "folder to write (default: model.sensitivity)", {
      short: "-o",
      value: "out/",
      common: true,
    }),
    kinds: option(v.array(v.picklist(sensitivityKinds)), "techniques to measure (default: all)", {
      common: true,
      meanings: { title: "Kinds (--kinds)", rows: sensitivityKinds.map((kind) => [kind, kindWords[kind].title]) },
    }),
    ...selectionOptions("measure"),
    alike: option(v.boolean(), "group layers whose names differ only in numbers", { common: true }),
    budget: option(
      share,
      "share of --cost that recipes leave (default: as 40 % pruned, 4 bits, half of the rank leave)",
      { common: true },
    ),
    cost: described(
      v.optional(v.picklist(sensitivityCosts), "bytes"),
      "what --budget is a share of: bytes, MACs, or time on one thread",
      { common: true },
    ),
    minutes: option(minutesOption, "time limit in minutes: after it, no measurement starts", {
      value: "n",
      common: true,
    }),
    ...workerFlags("measurements"),
    ...freshFlag,
    ...metricFlags,
    ...dataFlags,
    samples: option(countOption, "use at most n test samples, drawn at random (default: 1024)", {
      value: "n",
      group: dataGroup,
      common: true,
    }),
  }),
  examples: [
    "sensitivity resnet20.onnx --data cifar10/ -o out/",
    "sensitivity bert.onnx --data reviews.tsv --kinds bits,rank --alike",
  ],
  async run([path = ""], options, session) {
    const { kinds, layers, except, alike, budget, cost, minutes, fresh, metric, output } = options;
    const out = options.out ?? besideInput(path, ".sensitivity");
    // Language models make their own samples. A worker of a queue would have to make them again.
    const data = dataRequest({ ...options, data: options.data ?? ownTextName });
    if (data === undefined || (options.data === undefined && options.queue !== undefined))
      throw new PithError("E_USAGE", "--queue needs --data.");
    const files = sweptFolder.names.map((name) => join(out, name));
    await requireFreeFolder(out, sweptFolder, [
      ["the model itself", path],
      ["the data", data.path],
    ]);
    const input = {
      ...{ model: path, out, data, metric, output, kinds, layers, except, alike, minutes, budget, cost },
      ...{ timed: cost === "time", seed: session.seed },
      ...workerOptionsOf(options),
    };
    // With a queue, a stop waits until queued jobs that no worker has started are removed.
    const jobOptions = { keeps: input.queue !== undefined };
    const work = (resumeFolder: string) =>
      session.job<typeof sensitivityJob>("sensitivity", { ...input, resumeFolder }, `sensitivity ${path}`, jobOptions);
    const {
      found: sensitivity,
      preprocessing,
      written,
    } = await withSteps(out, { fresh, terminal: session.terminal }, (folder) =>
      withoutLeftovers(files, () => work(folder)),
    );
    const recipe = written.find((file) => file.endsWith(".yaml"));
    return {
      data: { ...sensitivity, preprocessing, files: written },
      print(terminal) {
        const { name, unit } = sensitivity.metric;
        const interval = terminal.color.dim(`95 % interval ${figureInterval(unit, sensitivity.original)}`);
        terminal.table(columns("", "", ""), [
          [`${name} of the original`, figure(unit, sensitivity.original.value), interval],
        ]);
        for (const kind of sensitivityKinds) printKind(terminal, sensitivity, kind);
        for (const kind of sensitivityKinds) {
          const [first, ...more] = sensitivity.misses.filter((miss) => miss.kind === kind);
          if (first === undefined) continue;
          const moreText = more.length > 0 ? ` and ${counted(more.length, "more layer")}` : "";
          terminal.line(
            terminal.color.dim(`${kind}: not measured: ${first.at ?? "the model"}${moreText} (${first.reason})`),
          );
        }
        if (sensitivity.open > 0)
          terminal.line(`${counted(sensitivity.open, "setting")} not measured: the time limit was reached (--minutes)`);
        if (preprocessing !== undefined) terminal.line(`preprocessing: ${preprocessing}`);
        terminal.line(
          `${terminal.color.bold(headline(sensitivity))}. ${counted(sensitivity.rows.length, "measurement")} in ${duration(1000 * sensitivity.seconds)}`,
        );
        terminal.line(`written: ${written.join("  ")}`);
        if (recipe !== undefined)
          terminal.line(
            `next: ${["pith", "compress", path, ...dataWords(data), "-r", recipe].map(quoteWord).join(" ")}`,
          );
      },
    };
  },
});

function printKind(terminal: Page, sensitivity: Sensitivity, kind: (typeof sensitivityKinds)[number]): void {
  const { settings, layers } = selectKind(sensitivity, kind);
  if (layers.length === 0) return;
  const { unit, name: metric } = sensitivity.metric;
  const { dim } = terminal.color;
  const unitText = unitOfChange(unit) === "" ? "" : ` in ${unitOfChange(unit)}`;
  terminal.line(
    `${terminal.color.bold(kindWords[kind].title)}${dim(`: drop of ${metric}${unitText}, largest first; a negative one is a gain`)}`,
  );
  terminal.table(
    columns("layer", ...settings.map((setting) => kindWords[kind].text(setting))),
    layers
      .slice(0, maxLayers)
      .map(({ name, rows }) => [
        name,
        ...rows.map((row) => (row === undefined ? "–" : dropText(unit, row.drop.value))),
      ]),
  );
  if (layers.length > maxLayers)
    terminal.line(`and ${counted(layers.length - maxLayers, "more layer")}, which lose less: --json, sensitivity.html`);
  const equalText = equalSettingsText({ layers });
  if (equalText !== undefined) terminal.line(dim(equalText));
}
