// What programs on the JavaScript SDK do with a server on 127.0.0.1: each check asserts results and typed
// exceptions, in a database of its own. `test_programs.py` runs it:
//
//     node checks.js ENDPOINT NAME...     the endpoint is given to the clients in code
//     node checks.js - NAME...            they find it in the AWS_ENDPOINT_URL* variables, or where AWS would be
//     node checks.js                      print the names
//
// The checks of what takes its time and of buckets are in jobs.js.

import assert from 'node:assert/strict'
import process from 'node:process'

import * as query from '@aws-sdk/client-timestream-query'
import * as write from '@aws-sdk/client-timestream-write'
import * as helpers from '@nordicsemiconductor/timestream-helpers'

import { batchLoads, cancels, schedules, settings, typedFaults, unloads } from './jobs.js'
import { call, dimensions, emptyTable, endpoint, fault, load, reader, select, texts, where, writer } from './sdk.js'

const names = process.argv.slice(3)

const checks = {
  tables, tags, errors, writes, rejects, pages, nested, useHelpers, discover,
  typedFaults, settings, schedules, cancels, unloads, batchLoads,
}

async function tables() {
  const DatabaseName = `js_tables_${process.pid}`
  const { Database } = await call('CreateDatabase', { DatabaseName })
  assert.ok(Database.CreationTime instanceof Date)
  assert.ok(Math.abs(Date.now() - Database.CreationTime) < 60_000)
  const KmsKeyId = 'alias/other-key'
  assert.equal((await call('UpdateDatabase', { DatabaseName, KmsKeyId })).Database.KmsKeyId, KmsKeyId)

  const Schema = { CompositePartitionKey: [{ Type: 'DIMENSION', Name: 'host', EnforcementInRecord: 'REQUIRED' }] }
  const names = ['one', 'three', 'two']
  for (const TableName of names) await call('CreateTable', { DatabaseName, TableName, Schema })
  const described = (await call('DescribeTable', { DatabaseName, TableName: 'one' })).Table
  assert.equal(described.TableStatus, 'ACTIVE')
  assert.deepEqual(described.Schema, Schema)
  assert.equal((await call('DescribeDatabase', { DatabaseName })).Database.TableCount, 3)

  const pages = []
  for await (const page of write.paginateListTables({ client: writer, pageSize: 2 }, { DatabaseName })) {
    pages.push(page.Tables.map((table) => table.TableName))
  }
  assert.deepEqual(pages, [['one', 'three'], ['two']])
  let found = 0
  for await (const page of write.paginateListDatabases({ client: writer, pageSize: 1 }, {})) {
    found += page.Databases.filter((database) => database.DatabaseName === DatabaseName).length
  }
  assert.equal(found, 1)

  const RetentionProperties = { MemoryStoreRetentionPeriodInHours: 12, MagneticStoreRetentionPeriodInDays: 30 }
  const updated = (await call('UpdateTable', { DatabaseName, TableName: 'one', RetentionProperties })).Table
  assert.deepEqual(updated.RetentionProperties, RetentionProperties)
  for (const TableName of names) await call('DeleteTable', { DatabaseName, TableName })
  await call('DeleteDatabase', { DatabaseName })
  await fault(call('DescribeDatabase', { DatabaseName }), write.ResourceNotFoundException, 404)
}

async function tags() {
  const DatabaseName = `js_tags_${process.pid}`
  const Tags = [{ Key: 'stage', Value: 'test' }, { Key: 'team', Value: '' }]
  const { Database } = await call('CreateDatabase', { DatabaseName, Tags })
  const ResourceARN = Database.Arn
  assert.deepEqual((await call('ListTagsForResource', { ResourceARN })).Tags, Tags)
  await call('TagResource', { ResourceARN, Tags: [{ Key: 'team', Value: 'red' }] })
  await call('UntagResource', { ResourceARN, TagKeys: ['stage'] })
  const byQuery = await reader.send(new query.ListTagsForResourceCommand({ ResourceARN }))
  assert.deepEqual(byQuery.Tags, [{ Key: 'team', Value: 'red' }])
}

async function errors() {
  const { sql, DatabaseName, TableName } = await emptyTable('errors')
  const nowhere = { DatabaseName: 'nowhere' }
  await fault(call('CreateDatabase', { DatabaseName }), write.ConflictException, 409)
  const missing = await fault(call('DescribeDatabase', nowhere), write.ResourceNotFoundException, 404)
  assert.equal(missing.message, 'The database nowhere does not exist.')
  const bad = { DatabaseName, TableName, Records: [load('a', 'one')] }
  const wrong = await fault(call('WriteRecords', bad), write.ValidationException, 400)
  assert.equal(wrong.message, 'Invalid value one for double measure value type.')
  await fault(call('DeleteDatabase', { DatabaseName }), write.ValidationException, 400)
  const short = await fault(call('CreateDatabase', { DatabaseName: 'ab' }), write.ValidationException, 400)
  assert.match(short.message, /^1 validation error detected: Value 'ab' at 'databaseName'/)
  await call('WriteRecords', { DatabaseName, TableName, Records: [load('a', 1)] })
  const column = await fault(select(`SELECT nope FROM ${sql}`), query.ValidationException, 400)
  assert.match(column.message, /Column 'nope' does not exist/)

  const credentials = { accessKeyId: 'AKIDNOBODY', secretAccessKey: 'wrong' }
  const stranger = new write.TimestreamWriteClient({ ...where, credentials })
  const failed = await stranger.send(new write.ListDatabasesCommand({})).catch((error) => error)
  // Without an endpoint in code it is the discovery that fails, for this reason.
  const denied = failed.reason ?? failed
  assert.equal(denied.name, 'UnrecognizedClientException')
  assert.equal(denied.$metadata.httpStatusCode, 400)
}

async function writes() {
  const { sql, ...names } = await emptyTable('writes')
  const single = await call('WriteRecords', {
    ...names,
    CommonAttributes: { Dimensions: dimensions({ region: 'eu' }), MeasureName: 'load', MeasureValueType: 'BIGINT' },
    Records: ['a', 'b'].map((host, n) => ({
      Dimensions: dimensions({ host }),
      MeasureValue: String(2n ** 62n + BigInt(n)),
      Time: String(Date.now()),
    })),
  })
  assert.deepEqual(single.RecordsIngested, { Total: 2, MemoryStore: 2, MagneticStore: 0 })
  assert.deepEqual(texts(await select(`SELECT region, host, measure_value::bigint FROM ${sql} ORDER BY host`)), [
    ['eu', 'a', '4611686018427387904'],
    ['eu', 'b', '4611686018427387905'],
  ])

  const now_ns = BigInt(Date.now()) * 1_000_000n + 123n
  const multi = await call('WriteRecords', {
    ...names,
    Records: [
      {
        Dimensions: dimensions({ host: 'Zürich 🏔' }),
        MeasureName: 'all',
        MeasureValueType: 'MULTI',
        MeasureValues: [
          { Name: 'd', Type: 'DOUBLE', Value: '-0.0' },
          { Name: 'v', Type: 'VARCHAR', Value: 'it\'s "so"' },
          { Name: 'b', Type: 'BOOLEAN', Value: 'true' },
          { Name: 't', Type: 'TIMESTAMP', Value: String(now_ns) },
        ],
        Time: String(now_ns),
        TimeUnit: 'NANOSECONDS',
        Version: 1,
      },
    ],
  })
  assert.equal(multi.RecordsIngested.Total, 1)
  const instant = new Date(Number(now_ns / 1_000_000n)).toISOString().replace('T', ' ').replace('Z', '000123')
  const columns = 'host, d, v, b, t, time, measure_value::bigint'
  assert.deepEqual(texts(await select(`SELECT ${columns} FROM ${sql} WHERE measure_name = 'all'`)), [
    ['Zürich 🏔', '-0.0', 'it\'s "so"', 'true', instant, instant, null],
  ])
}

async function rejects() {
  const { sql, ...names } = await emptyTable('rejects')
  const Time = String(Date.now())
  await call('WriteRecords', { ...names, Records: [load('a', 1, { Time, Version: 5 })] })
  const Records = [load('a', 2, { Time, Version: 4 }), load('b', 3, { Time }), load('c', 4, { Time: '1' })]
  const error = await fault(call('WriteRecords', { ...names, Records }), write.RejectedRecordsException, 419)
  assert.equal(error.message, 'One or more records have been rejected. See RejectedRecords for details.')
  const [lower, old] = error.RejectedRecords
  assert.deepEqual(lower, {
    RecordIndex: 0,
    Reason:
      'The record version 4 is lower than the existing version 5. ' +
      'A higher version is required to update the measure value.',
    ExistingVersion: 5,
  })
  assert.equal(error.RejectedRecords.length, 2)
  assert.equal(old.RecordIndex, 2)
  assert.match(old.Reason, /^The record timestamp is outside the time range \[.*\) of the memory store\.$/)
  assert.deepEqual(texts(await select(`SELECT host, measure_value::double FROM ${sql} ORDER BY host`)), [
    ['a', '1.0'],
    ['b', '3.0'],
  ])
  await call('WriteRecords', { ...names, Records: [load('a', 2, { Time, Version: 6 })] })
  assert.deepEqual(texts(await select(`SELECT measure_value::double FROM ${sql} WHERE host = 'a'`)), [['2.0']])
}

async function pages() {
  const { sql, ...names } = await emptyTable('pages')
  const Records = Array.from({ length: 10 }, (_, n) => load(`h${n}`, n))
  await call('WriteRecords', { ...names, Records })
  const QueryString = `SELECT host FROM ${sql} ORDER BY host`
  for (const pageSize of [1, 3, 10, 11, 997]) {
    const rows = []
    const ids = new Set()
    for await (const page of query.paginateQuery({ client: reader, pageSize }, { QueryString })) {
      assert.ok(page.Rows.length <= pageSize)
      assert.deepEqual(page.ColumnInfo, [{ Name: 'host', Type: { ScalarType: 'VARCHAR' } }])
      assert.equal(page.QueryStatus.ProgressPercentage, 100)
      rows.push(...texts(page).flat())
      ids.add(page.QueryId)
    }
    assert.deepEqual(rows, Records.map((_, n) => `h${n}`))
    assert.equal(ids.size, 1)
  }
  await fault(select(QueryString, { NextToken: 'no token' }), query.ValidationException, 400)
}

async function nested() {
  const { sql, ...names } = await emptyTable('nested')
  const now_s = Math.floor(Date.now() / 1000)
  const Records = [0, 1].map((n) => load('a', n, { Time: String(now_s + n), TimeUnit: 'SECONDS' }))
  await call('WriteRecords', { ...names, Records })
  const answer = await select(
    `SELECT ARRAY[1, NULL] AS numbers, ROW('x', true) AS pair,
       create_time_series(time, measure_value::double) AS series FROM ${sql}`,
  )
  const [numbers, pair, series] = answer.Rows[0].Data
  assert.deepEqual(numbers.ArrayValue, [{ ScalarValue: '1' }, { NullValue: true }])
  assert.deepEqual(pair.RowValue.Data, [{ ScalarValue: 'x' }, { ScalarValue: 'true' }])
  assert.deepEqual(series.TimeSeriesValue.map((point) => point.Value.ScalarValue), ['0.0', '1.0'])
  assert.equal(answer.ColumnInfo[0].Type.ArrayColumnInfo.Type.ScalarType, 'INTEGER')
  assert.equal(answer.ColumnInfo[1].Type.RowColumnInfo.length, 2)
  assert.equal(answer.ColumnInfo[2].Type.TimeSeriesMeasureValueColumnInfo.Type.ScalarType, 'DOUBLE')
}

/** `@nordicsemiconductor/timestream-helpers`: records from values, values from answers. */
async function useHelpers() {
  const { sql, ...names } = await emptyTable('helpers')
  const ts = Date.now()
  const values = { bat: 3.3, on: true, txt: 'grün' }
  const common = { ts, dimensions: { device: 'd1' } }
  const Records = Object.entries(values).map(([name, v]) => helpers.toRecord({ name, v, ...common }))
  await call('WriteRecords', { ...names, Records })
  const columns = 'time, device, measure_name, measure_value::double, measure_value::boolean, measure_value::varchar'
  assert.deepEqual(helpers.parseResult(await select(`SELECT ${columns} FROM ${sql} ORDER BY measure_name`)), [
    row('bat', 3.3, undefined, undefined),
    row('on', undefined, true, undefined),
    row('txt', undefined, undefined, 'grün'),
  ])
  const lists = await select(
    `SELECT array_agg(measure_value::double) AS list, create_time_series(time, measure_value::double) AS series
     FROM ${sql} WHERE measure_name = 'bat'`,
  )
  assert.deepEqual(helpers.parseResult(lists), [{ list: [3.3], series: [{ time: new Date(ts), value: 3.3 }] }])

  function row(measure_name, number, truth, text) {
    return {
      time: new Date(ts),
      device: 'd1',
      measure_name,
      'measure_value::double': number,
      'measure_value::boolean': truth,
      'measure_value::varchar': text,
    }
  }
}

/**
 * Where the answer of DescribeEndpoints leads, and the helpers' own clients: they always ask, and put https:// before the
 * answer unless the endpoint is given in code.
 */
async function discover() {
  const [{ Address, CachePeriodInMinutes }] = (await call('DescribeEndpoints')).Endpoints
  const isTold = endpoint !== '-' || Object.keys(process.env).some((name) => name.startsWith('AWS_ENDPOINT_URL'))
  const region = await writer.config.region()
  assert.equal(Address, isTold ? '127.0.0.1' : `ingest-cell1.timestream.${region}.amazonaws.com`)
  assert.equal(CachePeriodInMinutes, 1440)
  if (isTold && endpoint === '-') return
  const discovered = await helpers.writeClient(where)
  assert.ok(Array.isArray((await discovered.send(new write.ListDatabasesCommand({}))).Databases))
  const questioner = await helpers.queryClient(where)
  assert.deepEqual(texts(await questioner.send(new query.QueryCommand({ QueryString: 'SELECT 1' }))), [['1']])
}

if (names.length === 0) console.log(Object.keys(checks).join('\n'))
for (const name of names) {
  await checks[name]()
  console.log(`passed ${name}`)
}
