/**
 * One step on one model, in a process of its own: `step.ts <step> <from> <to>`. Prints the seconds that the processor worked for it, without
 * and with those in the system, and those that passed, without the start of the process, and the peak of the process's memory in bytes.
 */
import { inspect } from "../../src/app/report/inspect/inspect.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { deferTensor } from "../../src/core/tensor/deferred.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { eventContext } from "../../src/runtime/job/job.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { prune, remove } from "../../src/techniques/prune/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { writeLarge } from "../files/large.ts";
import { peakMemory } from "../lib/peak.ts";
import { type Form, networkOf } from "./networks.ts";

const _quiet = eventContext({ signal: new AbortController().signal, temporary: "" }, () => {});

const edit = (change: (model: Model) => Promise<unknown>) => async (from: string, to: string) => {
  const model = await open(from);
  await change(model);
  await save(model, to);
};

const steps: Readonly<Record<string, (from: string, to: string) => Promise<unknown>>> = {
  /** `from`: form:nodes. */
  async write(from, to) {
    const [form = "", nodes = ""] = from.split(":");
    await save(networkOf(form as Form, Number(nodes)), to);
  },
  /** `from`: MiB of all weights, and of each. */
  async writeLarge(from, to) {
    const [all = 0, each] = from.split(":").map(Number);
    await writeLarge(to, all, true, each);
  },
  inspect: async (from) => inspect(await open(from)),
  /** Reads and writes each weight; what is not changed would be copied by the system, without a look at it. */
  copy: edit(async ({ graph }) => {
    for (const value of graph.values()) {
      const { tensor } = value;
      if (tensor === undefined || tensor.type === "string") continue;
      value.tensor = await deferTensor(tensor.type, tensor.dims, () => tensor.read());
    }
  }),
  simplify: edit((model) => simplify(model)),
  weights: edit((model) => quantize(model, { scheme: "weights" })),
  dynamic: edit((model) => quantize(model, { scheme: "dynamic" })),
  float16: edit((model) => quantize(model, { scheme: "float16" })),
  q4: edit((model) => quantize(model, { dtype: "q4" })),
  prune: edit((model) => prune(model, { amount: 0.5 })),
  global: edit((model) => prune(model, { amount: 0.5, scope: "global" })),
  remove: edit(async (model) => {
    await prune(model, { amount: 0.5 });
    await remove(model);
  }),
  structured: edit((model) => prune(model, { amount: 0.5, structured: true })),
  factorize: edit((model) => factorize(model, { budget: 0.5 })),
};

const [name = "", from = "", to = ""] = process.argv.slice(2);
const step = steps[name];
if (step === undefined) throw new Error(`There is no step "${name}".`);
const begun = process.cpuUsage();
const started = performance.now();
await step(from, to);
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(begun);
const spent = { user: user / 1e6, processor: (user + system) / 1e6 };
process.stdout.write(`${JSON.stringify({ ...spent, seconds, peak: peakMemory() })}\n`);
