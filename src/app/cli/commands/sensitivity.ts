/** The command `pith sensitivity`: measures each layer alone, and writes recipes. */
import * as v from "valibot";
import { countOption, minutesOption, option, positiveOption, selectionOptions, withHelp } from "#pass";
import { ownTextName } from "../../../runtime/run/realistic-inputs.ts";
import { kindWords, sensitivityCosts, sensitivityKinds } from "../../../search/sensitivity/sensitivity-record.ts";
import { defineCommand } from "../command.ts";
import { pathNextTo } from "../files/file-paths.ts";
import { requireFreeFolder, sensitivityContents } from "../files/result-folder.ts";
import { freshFlag, withStepsFolder } from "../files/steps-folder.ts";
import { dataFlags, dataGroup } from "../flags/data.ts";
import { metricFlags } from "../flags/metrics.ts";
import { fork } from "../fork.ts";

export const options = v.object({
  out: option(v.string(), "folder to write (default: model.sensitivity)", { short: "-o", value: "out/", common: true }),
  kinds: option(v.array(v.picklist(sensitivityKinds)), "techniques to measure (default: all)", {
    common: true,
    meanings: { title: "Kinds (--kinds)", rows: sensitivityKinds.map((kind) => [kind, kindWords[kind].title]) },
  }),
  ...selectionOptions("measure"),
  alike: option(v.boolean(), "group layers whose names differ only in numbers", { common: true }),
  budget: option(
    v.pipe(positiveOption, v.maxValue(1, "must be at most 1")),
    "share of --cost that recipes leave (default: as 40 % pruned, 4 bits, low rank 50 % leave)",
    { common: true },
  ),
  cost: withHelp(v.optional(v.picklist(sensitivityCosts), "bytes"), "what --budget is a share of: bytes, or MACs", {
    common: true,
  }),
  minutes: option(minutesOption, "time limit in minutes: after it, no measurement starts", {
    value: "n",
    common: true,
  }),
  ...freshFlag,
  ...metricFlags,
  ...dataFlags,
  samples: option(countOption, "use at most n test samples, drawn at random (default: 1024)", {
    value: "n",
    group: dataGroup,
    common: true,
  }),
});

export default defineCommand({
  name: "sensitivity",
  summary: "measure how sensitive each layer is, and write recipes that protect the sensitive ones",
  arguments: [{ name: "model.onnx", description: "the model (not changed)" }],
  options,
  examples: [
    "sensitivity resnet20.onnx --data cifar10/ -o out/",
    "sensitivity bert.onnx --data reviews.tsv --kinds bits,rank --alike",
  ],
  async run([path = ""], flags, session) {
    // Language models make their own samples.
    const { out = pathNextTo(path, ".sensitivity"), fresh, data = ownTextName } = flags;
    await requireFreeFolder(out, sensitivityContents, [
      ["the model itself", path],
      ["the data", data],
    ]);
    return withStepsFolder(out, { fresh, terminal: session.terminal }, (resumeFolder) =>
      fork("sensitivity", [path], { ...flags, out, data, resumeFolder }, session),
    );
  },
});
