/**
 * Ways of making a network easier to round without changing what it computes: positive factors move between neighbours (`passes/migrate.ts`). A
 * transformation is a file that chooses factors, and a line in the table of `index.ts`.
 */
import type { Model } from "../../graph/model.ts";
import type { LayerSelection } from "../../passes/options.ts";
import type { Change, Context } from "../../passes/pass.ts";
import type { QuantizeSettings } from "../options.ts";
import type { AnswerNoise } from "../rounding-noise.ts";

/** Of `quantize`, as far as factors depend on them. */
export type EqualizeOptions = LayerSelection &
  Pick<QuantizeSettings, "scheme" | "bits" | "perChannel" | "activations" | "samples"> &
  Partial<QuantizeSettings>;

export interface Transformation {
  /** Whether it can lower the error of what these settings round. */
  suits(options: EqualizeOptions): boolean;
  /** Moves factors, in place, where that lowers the error of rounding. @param noise in the answers, measured. */
  move(model: Model, options: EqualizeOptions, context: Context, noise: AnswerNoise): Promise<readonly Change[]>;
}
