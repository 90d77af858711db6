/** Clipping: gradients as one long vector, made shorter where it is too long. */
import type { Trained } from "./optimizer.ts";

/** Keeps a norm of exactly the limit, rounded, from growing: torch.nn.utils.clip_grad_norm_ has the same. */
const slack = 1e-6;

/**
 * Scales all gradients by min(1, limit / (norm + 1e-6)), in place, where norm is the square root of the sum of all squares (Pascanu et al.
 * 2013). Returns the norm before.
 */
export function clipByNorm(parameters: readonly Pick<Trained, "gradient">[], limit: number): number {
  let sum = 0;
  for (const { gradient } of parameters) sum += squares(gradient);
  const norm = Math.sqrt(sum);
  const factor = limit / (norm + slack);
  if (factor < 1) for (const { gradient } of parameters) scale(gradient, factor);
  return norm;
}

function squares(values: Trained["gradient"]): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2;
  return sum;
}

function scale(values: Trained["gradient"], factor: number): void {
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * factor;
}
