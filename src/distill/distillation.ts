/**
 * Knowledge distillation (Hinton, Vinyals and Dean 2015, arXiv 1503.02531): the student is trained towards the teacher's softened
 * distribution and the labels together,
 *
 *   loss = α · T² · mean over rows of KL(softmax(t / T) ‖ softmax(s / T)) + (1 - α) · cross-entropy(labels, s),
 *
 * where s and t are the logits of student and teacher, or the logarithms of their probabilities, which differ from them by a number a row. T²
 * keeps the size of the soft gradient as T grows.
 *
 * The teacher is put beside the student in the very graph that is differentiated. No parameter of the student influences it, so the
 * differentiator cuts it off again: it runs optimized, with its weights stored, once per batch.
 */
import { PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { float32 } from "../tensor/dense.ts";
import { asRows, type Loss, outputOf } from "../train/loss.ts";
import { scoreRows } from "../train/losses/cross-entropy.ts";
import { crossEntropy, sumOfLosses } from "../train/losses/index.ts";

export interface DistillationOptions {
  /** The model to learn from, or a reference that the context opens: a path. */
  readonly teacher: Model | string;
  /** T, above 0 (default 4): larger values show more of the teacher's ranking of wrong classes. */
  readonly temperature?: number;
  /** α, 0 to 1 (default 0.7): the weight of the teacher's loss; the rest is the loss on labels. With 1 no labels are needed. */
  readonly alpha?: number;
  /** The column with the labels. */
  readonly label?: string;
}

/**
 * The loss of a student beside its teacher, for `train`.
 * @throws PithError E_OPTION for a temperature or weight out of range; when training starts E_SHAPE_MISMATCH if teacher and student have
 * different classes or inputs.
 * @example
 * await train(student, { data, epochs: 10, loss: distillation({ teacher, temperature: 4, alpha: 0.7 }) });
 */
export function distillation({ teacher, temperature = 4, alpha = 0.7, label = "label" }: DistillationOptions): Loss {
  if (!(temperature > 0)) throw new PithError("E_OPTION", `The temperature must be above 0, got ${temperature}.`);
  if (!(alpha >= 0 && alpha <= 1)) throw new PithError("E_OPTION", `alpha must lie between 0 and 1, got ${alpha}.`);
  const soft: Loss = {
    name: "teacher",
    build: async (scope) => {
      const theirs = outputOf(await scope.teacher(teacher));
      // Scores of both, whether they end in a softmax or not: of log p, divided by T, it gives what it gives of the scores behind p.
      const [own, other] = [scoreRows(scope, outputOf(scope)), scoreRows(scope, theirs)];
      return { value: softLoss(scope.emit, own.rows, other.rows, temperature), feeds: () => ({}) };
    },
  };
  const parts = [
    { loss: soft, weight: alpha },
    { loss: crossEntropy({ label }), weight: 1 - alpha },
  ];
  // By its file, wherever that is called from.
  const name = typeof teacher === "string" ? teacher.slice(teacher.search(/[^\\/]*$/)) : "a model";
  const settings = { temperature, alpha, teacher: name };
  return { ...sumOfLosses(parts.filter(({ weight }) => weight > 0)), name: "distillation", settings };
}

/** T² · mean over rows of KL(teacher ‖ student), of the scores of both: Σ p (log p - log q), summed over classes. */
export function softLoss(emit: Emit, student: Value, teacher: Value, temperature: number): Value {
  const [own, other] = [asRows(emit, student), asRows(emit, teacher)];
  if (own.classes !== other.classes || own.count !== other.count) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `The student has ${own.count} × ${own.classes} logits for a batch, the teacher ${other.count} × ${other.classes}.`,
    );
  }
  const soften = (rows: Value): Value =>
    emit.LogSoftmax([temperature === 1 ? rows : emit.Div([rows, emit.constant(float32([], [temperature]))])], {
      axis: -1,
    });
  const [q, p] = [soften(own.rows), soften(other.rows)];
  const divergence = emit.ReduceSum([emit.Mul([emit.Exp([p]), emit.Sub([p, q])])], { keepdims: 0 });
  return emit.Mul([divergence, emit.constant(float32([], [(temperature * temperature) / own.count]))]);
}
