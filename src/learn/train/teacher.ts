/** Adds a teacher to the graph of its student, and checks that their inputs fit. */
import { infer } from "#analysis";
import { fitSample } from "#batches";
import type { Emit, Model, Value } from "#ir";
import {
  dimsText,
  dimValue,
  emitInto,
  fixedDims,
  isFloat,
  isSymbolic,
  Miss,
  mergeGraph,
  modelError,
  PithError,
  replaceNode,
  sameDims,
  shapeError,
  typeCodes,
  unsupportedError,
  zeros,
} from "#ir";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { fixInputs } from "../../rewrite/edit/set-input-shapes.ts";
import { type NamedValues, namedValues } from "./loss.ts";

/** Copies the teacher in inference mode into the student's graph, on the student's inputs. Both models get the newer opset. */
export function addTeacher(model: Model, emit: Emit, reference: Model): NamedValues {
  const teacher = reference.clone();
  teacher.graph.operators ??= model.graph.operators;
  freeze(teacher);
  const version = Math.max(model.opsets.get("") ?? 1, teacher.opsets.get("") ?? 1);
  raiseOpset(model, version);
  raiseOpset(teacher, version);
  const batch = fixedDims(model.graph.feeds[0]?.type?.dims)?.[0];
  if (batch === undefined) throw modelError("The student has no input of fixed batch size.");
  const shapes = teacher.graph.feeds.flatMap((input) => {
    const studentDims = fixedDims(findStudentInput(input, model, teacher)?.type?.dims);
    if (studentDims === undefined) return [];
    const rest = fixedDims(input.type?.dims?.slice(1));
    return [[input.name, rest === undefined ? studentDims : [batch, ...rest]] as const];
  });
  fixInputs(teacher, { ...Object.fromEntries(shapes), ...inferImpliedShapes(teacher, new Map(shapes)) });
  const inputs = new Map<Value, Value>();
  for (const input of teacher.graph.feeds) {
    const studentInput = findStudentInput(input, model, teacher);
    const dims = fixedDims(input.type?.dims);
    const type = input.type?.type;
    if (studentInput !== undefined) inputs.set(input, fitInput(emit, studentInput, input));
    // The cache of a layer that the student does not have is empty.
    else if (dims?.includes(0) === true && type !== undefined && type !== "string")
      inputs.set(input, emit.constant(zeros(type, dims)));
    else throw missingInput(input, model);
  }
  infer(teacher);
  const mergedGraph = mergeGraph(model, teacher, "teacher.", inputs);
  if (mergedGraph instanceof Miss) throw unsupportedError(`The teacher cannot be used: ${mergedGraph.reason}.`);
  return namedValues("teacher", mergedGraph.outputs, mergedGraph.values, () => teacher);
}

/** Returns the file name without folders, which differ from run to run. */
export const teacherName = ({ place = "a model" }: Model): string => place.slice(place.search(/[^\\/]*$/));

/** Replaces nodes in training mode by their inference form: dropout and batch statistics would add noise to the outputs. */
function freeze(teacher: Model): void {
  const inference = infer(teacher);
  for (const node of [...teacher.graph.nodes()]) {
    const form = inference.facet(node, "training");
    if (form?.inference === undefined) continue;
    const emit = emitInto(teacher, { before: node, by: "train", onNode: inference.visit });
    replaceNode(node, form.inference(emit, node.inputs).slice(0, node.outputs.length));
  }
}

/** Returns the shapes of the other inputs, from symbolic dimensions that they share with inputs of known shape. */
function inferImpliedShapes(
  { graph }: Model,
  knownShapes: ReadonlyMap<string, readonly number[]>,
): Readonly<Record<string, readonly number[]>> {
  const sizes: Record<string, number> = {};
  for (const { name, type } of graph.feeds) {
    const dims = knownShapes.get(name);
    type?.dims?.forEach((dim, axis) => {
      if (isSymbolic(dim) && dims?.[axis] !== undefined) sizes[dim.text] = dims[axis];
    });
  }
  return Object.fromEntries(
    graph.feeds.flatMap(({ name, type }) => {
      const dims = type?.dims?.map((dim) => dimValue(dim, sizes));
      const all = dims?.filter((dim) => dim !== undefined);
      return knownShapes.has(name) || all === undefined || all.length !== dims?.length ? [] : [[name, all] as const];
    }),
  );
}

/** Returns the student's input for a teacher's: that of the same name; for a teacher with one input, the only one, or the only one of its type. */
function findStudentInput(input: Value, student: Model, teacher: Model): Value | undefined {
  const { feeds } = student.graph;
  const sameName = feeds.find(({ name }) => name === input.name);
  if (sameName !== undefined || teacher.graph.feeds.length > 1) return sameName;
  const [candidate, ...otherCandidates] =
    feeds.length === 1 ? feeds : feeds.filter(({ type }) => type?.type === input.type?.type);
  return otherCandidates.length === 0 ? candidate : undefined;
}

/** Checks before any sample is read that the input sizes fit. @throws PithError E_SHAPE_MISMATCH with the sizes of both inputs. */
export function requireFittingTeacher(student: Model, teacher: Model): void {
  for (const teacherInput of teacher.graph.feeds) {
    const studentInput = findStudentInput(teacherInput, student, teacher);
    if (studentInput === undefined && teacher.graph.feeds.length === 1) throw missingInput(teacherInput, student);
    if (studentInput === undefined) continue;
    const [from, to] = [studentInput, teacherInput].map(({ type }) => fixedDims(type?.dims?.slice(1)));
    if (from !== undefined && to !== undefined && fitSample(to, from) === undefined)
      throw misfitError(studentInput, teacherInput);
  }
}

function missingInput({ name }: Value, { graph }: Model): PithError {
  const names = graph.feeds.map((feed) => `"${feed.name}"`).join(", ");
  return new PithError("E_NAME", `The teacher has an input "${name}", and the student's inputs are ${names}.`, {
    hint: "Both get the same samples: use a teacher with the student's inputs.",
  });
}

function misfitError(studentInput: Value, teacherInput: Value): PithError {
  const isOtherType = studentInput.type?.type !== teacherInput.type?.type;
  const describeInput = ({ name, type }: Value): string =>
    `"${name}" ${isOtherType ? type?.type : ""}${dimsText(type?.dims)}`;
  return shapeError(
    `The teacher's input ${describeInput(teacherInput)} does not fit the student's ${describeInput(studentInput)}.`,
    { hint: "Both get the same samples: use a teacher with inputs of the same size and order of axes." },
  );
}

/** Casts and reshapes a student input for the teacher. @throws PithError E_SHAPE_MISMATCH if it does not fit. */
function fitInput(emit: Emit, studentInput: Value, teacherInput: Value): Value {
  const [from, to] = [fixedDims(studentInput.type?.dims), fixedDims(teacherInput.type?.dims)];
  const [type, teacherType] = [studentInput.type?.type, teacherInput.type?.type];
  const isOtherKind = type !== undefined && teacherType !== undefined && isFloat(type) !== isFloat(teacherType);
  const fits = from?.[0] === to?.[0] && from && to && fitSample(to.slice(1), from.slice(1)) !== undefined;
  if (!fits || isOtherKind) throw misfitError(studentInput, teacherInput);
  const convertedInput =
    teacherType === undefined || type === teacherType
      ? studentInput
      : emit.Cast([studentInput], { to: typeCodes[teacherType] });
  return sameDims(from, to) ? convertedInput : emit.Reshape([convertedInput, to]);
}
