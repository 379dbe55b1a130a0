// What all checks share: the clients, found as the first word of the command line says, and short ways to use them.

import assert from 'node:assert/strict'
import process from 'node:process'

import * as query from '@aws-sdk/client-timestream-query'
import * as write from '@aws-sdk/client-timestream-write'

const [, , first = '-'] = process.argv

export const endpoint = first
export const where = endpoint === '-' ? {} : { endpoint }
export const writer = new write.TimestreamWriteClient(where)
export const reader = new query.TimestreamQueryClient(where)

/** The answer to an operation of the write service, by name. */
export function call(operation, members = {}) {
  return writer.send(new write[`${operation}Command`](members))
}

/** The same of the query service. */
export function ask(operation, members = {}) {
  return reader.send(new query[`${operation}Command`](members))
}

export function select(QueryString, more = {}) {
  return ask('Query', { QueryString, ...more })
}

/** Rows as arrays of texts, null for NULL. */
export function texts(answer) {
  return answer.Rows.map(({ Data }) => Data.map((datum) => (datum.NullValue ? null : datum.ScalarValue)))
}

/** The exception of a promise, which must be of this class and status. */
export async function fault(promise, type, status) {
  const error = await promise.then(
    (answer) => assert.fail(`no exception but ${JSON.stringify(answer)}`),
    (reason) => reason,
  )
  assert.ok(error instanceof type, `${error.name} is no ${type.name}: ${error.message}`)
  assert.equal(error.name, type.name)
  assert.equal(error.$fault, 'client')
  assert.equal(error.$metadata.httpStatusCode, status)
  assert.ok(error.$metadata.requestId)
  return error
}

/** An empty table of an own database. */
export async function emptyTable(name) {
  const names = { DatabaseName: `js_${name}_${process.pid}`, TableName: 'records' }
  await call('CreateDatabase', { DatabaseName: names.DatabaseName })
  await call('CreateTable', names)
  return { ...names, sql: `"${names.DatabaseName}"."${names.TableName}"` }
}

export function dimensions(values) {
  return Object.entries(values).map(([Name, Value]) => ({ Name, Value }))
}

export function load(host, value, more = {}) {
  const measure = { MeasureName: 'load', MeasureValue: String(value), MeasureValueType: 'DOUBLE' }
  return { Dimensions: dimensions({ host }), ...measure, Time: String(Date.now()), ...more }
}

/** What `find` answers as soon as that is something. */
export async function eventually(find) {
  const deadline = Date.now() + 20_000
  for (;;) {
    const found = await find()
    if (found !== undefined) return found
    assert.ok(Date.now() < deadline, 'it does not come')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
