/**
 * Generalized knowledge distillation (Agarwal et al. 2023, arXiv 2306.13649): a language model learns from the teacher's scores
 * of texts that the student wrote, with its own mistakes.
 *
 *     prompt = the first tokens of a text;  token i + 1 ~ softmax(logits of token i / T);  labels of the prompt are -100
 */
import { infer } from "../analysis/infer.ts";
import { mainOutput } from "../analysis/output-kind.ts";
import { attentionMaskOf } from "../data/rows.ts";
import { tokenInput } from "../data/sequences.ts";
import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { completeContext } from "../passes/index.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { int64 } from "../tensor/dense.ts";
import { dimsText } from "../tensor/dims.ts";
import { type Random, random } from "../tensor/random.ts";
import type { Batch, Dense } from "../tensor/types.ts";

export interface OwnTextsOptions {
  /** λ of the paper: the share of samples that the student writes, 0 to 1 (default 0.5). */
  readonly share?: number;
  /** Tokens of each text that the student continues (default: a quarter of the text, 16 at most). */
  readonly prompt?: number;
  /** Temperature of sampling, above 0 (default 1). */
  readonly temperature?: number;
}

/**
 * Returns a data set of tokens (`tokenize`) in which the student at the start of each epoch continues a share of the texts. Each
 * token costs a run over the previous tokens. A training that resumes within an epoch samples other tokens.
 * @param context `engine` runs the student, `seed` seeds the sampling.
 * @throws PithError E_OPTION for options out of range, E_UNSUPPORTED for a model without token inputs or without scores [batch,
 * tokens, classes]; on reading, E_DATA for samples without tokens.
 * @example const own = ownTexts(student, data, { share: 0.5 }); await train(student, { data: own, epochs: 4, loss: distillation({
 * teacher, loss: "gkd(beta=0.5)" }) });
 */
export function ownTexts(
  student: Model,
  data: Dataset,
  options: OwnTextsOptions = {},
  context: Partial<Context> = {},
): Dataset {
  const { share = 0.5, prompt, temperature = 1 } = options;
  const { engine, seed } = completeContext(context);
  if (!(share >= 0 && share <= 1)) throw new PithError("E_OPTION", `The share must lie between 0 and 1, got ${share}.`);
  if (prompt !== undefined && !(prompt >= 1 && Number.isInteger(prompt)))
    throw new PithError("E_OPTION", `The prompt must be 1 token or more, got ${prompt}.`);
  if (!(temperature > 0)) throw new PithError("E_OPTION", `The temperature must be above 0, got ${temperature}.`);
  const input = tokenInput(student.graph.feeds)?.name;
  infer(student);
  const output = mainOutput(student.graph.outputs);
  if (input === undefined || output?.type?.dims?.length !== 3)
    throw new PithError(
      "E_UNSUPPORTED",
      "The student cannot write texts: it has no input of tokens, or no output of scores [batch, tokens, classes].",
    );
  return {
    name: `${data.name}, ${Math.round(100 * share)} % written by the student`,
    count: data.count,
    async *batches(batches) {
      const session = await engine.load(student);
      const scores = async (feeds: Batch): Promise<Dense> => {
        const { [output.name]: found } = await session.run(feeds, [output.name]);
        if (found === undefined) throw new PithError("E_MODEL", `The student computed no "${output.name}".`);
        return found;
      };
      try {
        let at = 0;
        for await (const batch of data.batches(batches)) {
          const draws = random(seed, "own texts", batches.shuffle ?? 0, at++);
          yield await written(batch, input, student, { share, prompt, temperature, draws, scores });
        }
      } finally {
        await session.release();
      }
    },
  };
}

interface Writing extends Required<Omit<OwnTextsOptions, "prompt">> {
  readonly prompt: number | undefined;
  readonly draws: Random;
  scores(feeds: Batch): Promise<Dense>;
}

async function written(batch: Batch, input: string, student: Model, writing: Writing): Promise<Batch> {
  const { share, temperature, draws, scores } = writing;
  const given = batch[input];
  const [rows = 0, width = 0, ...more] = given?.dims ?? [];
  if (given === undefined || given.type !== "int64" || more.length > 0)
    throw new PithError(
      "E_DATA",
      `The data has no tokens "${input}" of int64 [samples, tokens], but ${dimsText(given?.dims)}.`,
    );
  const { prompt = Math.min(16, Math.max(1, Math.floor(width / 4))) } = writing;
  const chosen = Array.from({ length: rows }, () => draws.uniform() < share);
  if (!chosen.includes(true)) return batch;
  const ids = given.data.slice();
  const mask = attentionMaskOf(batch);
  const counts = (at: number): boolean => mask === undefined || Number(mask.data[at]) !== 0;
  const feeds = Object.fromEntries(
    student.graph.feeds.flatMap(({ name }) => (batch[name] === undefined ? [] : [[name, batch[name]] as const])),
  );
  for (let end = prompt; end < width; end++) {
    const seen: Batch = { ...feeds, [input]: int64([rows, width], ids) };
    const logits = await scores(
      Object.fromEntries(Object.entries(seen).map(([name, dense]) => [name, upTo(dense, rows, width, end)])),
    );
    const numbers = toFloat64(logits);
    const classes = logits.dims.at(-1) ?? 1;
    for (const [row, own] of chosen.entries()) {
      // A random number per row keeps rows independent.
      const chance = draws.uniform();
      if (!own || !counts(row * width + end)) continue;
      const start = (row * end + end - 1) * classes;
      ids[row * width + end] = BigInt(drawn(numbers.subarray(start, start + classes), temperature, chance));
    }
  }
  const label = BigInt64Array.from(ids, (_, at) => {
    const [row, token] = [Math.floor(at / width), at % width];
    const isLabelled =
      token + 1 < width && counts(at + 1) && counts(at) && (chosen[row] !== true || token + 1 >= prompt);
    return isLabelled ? (ids[at + 1] ?? -100n) : -100n;
  });
  return { ...batch, [input]: int64([rows, width], ids), label: { type: "int64", dims: [rows, width], data: label } };
}

function upTo(dense: Dense, rows: number, width: number, end: number): Dense {
  if (dense.type !== "int64" || dense.dims.length !== 2 || dense.dims[1] !== width) return dense;
  const data = new BigInt64Array(rows * end);
  for (let row = 0; row < rows; row++) data.set(dense.data.subarray(row * width, row * width + end), row * end);
  return { type: "int64", dims: [rows, end], data };
}

/** The class at which the cumulative probability exceeds `chance`. */
function drawn(scores: Float64Array, temperature: number, chance: number): number {
  const greatest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp((score - greatest) / temperature));
  let left = chance * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return index;
  }
  return scores.indexOf(greatest);
}
