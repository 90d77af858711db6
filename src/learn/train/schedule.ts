/** Learning rate schedules: pure functions of the step (from 0) and the number of steps, so resuming needs no state. */

/** Factor of the learning rate at a step. A training with an unknown number of steps does not call it. */
export type Schedule = (step: number, total: number) => number;

export const schedules = {
  constant: () => 1,
  /** Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts). */
  cosine: (step, total) => (1 + Math.cos((Math.PI * step) / total)) / 2,
  /** A straight line from 1 to 0. */
  linear: (step, total) => 1 - step / total,
} satisfies Readonly<Record<string, Schedule>>;

/** Rises linearly to 1 over the first `length` steps, then runs the schedule. A length below 1 is a share of the training. */
export function warmUp(schedule: Schedule, length: number): Schedule {
  return (step, total) => {
    const warmupSteps = length < 1 ? Math.round(length * total) : length;
    if (step < warmupSteps) return (step + 1) / warmupSteps;
    return schedule(step - warmupSteps, total - warmupSteps);
  };
}
