/** Validates a job of a queue, because any program that reaches the server can write jobs. */
import * as v from "valibot";
import { PithError } from "../../../core/errors.ts";
import { inWords, misfitOf } from "../../../core/pass/option-errors.ts";
import { inputSchemas, type Work } from "./inputs.ts";
import { ownVersion } from "./queue.ts";

const jobSchema = v.object({
  job: v.object({
    // The length of texts is limited, because they are printed.
    version: v.pipe(v.string(), v.maxLength(200)),
    kind: v.pipe(v.string(), v.maxLength(200)),
    name: v.pipe(v.string(), v.maxLength(10_000)),
    input: v.unknown(),
  }),
});

/**
 * Checks the data of a job, and drops unknown fields.
 * @throws PithError E_UNSUPPORTED for a job of another version or of an unknown kind, E_DATA for one that Pith did not write.
 */
export function readJob(data: unknown): Work {
  const { job } = validate(jobSchema, { job: data });
  const { version, kind, name } = job;
  if (version !== ownVersion)
    throw new PithError("E_UNSUPPORTED", `The job is of Pith ${version}, this is ${ownVersion}.`);
  if (!isKind(kind))
    throw new PithError("E_UNSUPPORTED", `The queue asks for "${kind}", which is not a supported job.`);
  const { input } = validate(v.object({ input: inputSchemas[kind] }), { input: job.input });
  return { kind, name, input };
}

const isKind = (kind: string): kind is keyof typeof inputSchemas => Object.hasOwn(inputSchemas, kind);

function validate<S extends v.GenericSchema>(schema: S, data: unknown): v.InferOutput<S> {
  const { success, output, issues } = v.safeParse(schema, data, inWords);
  if (success) return output;
  const { path, sentence } = misfitOf(schema, issues, { owner: "a job" });
  const place = path.length === 0 ? "" : `${path.join(".")}: `;
  throw new PithError("E_DATA", `The queue has a job that Pith did not put there: ${place}${sentence}.`);
}
