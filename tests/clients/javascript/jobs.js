// Checks of what takes its time: scheduled queries, cancelled queries, UNLOAD and batch load, and of their exceptions.
// `checks.js` names them. Those of buckets use BUCKET of the S3-compatible server at BUCKETS, which asks for no keys.

import assert from 'node:assert/strict'
import process from 'node:process'

import * as query from '@aws-sdk/client-timestream-query'
import * as write from '@aws-sdk/client-timestream-write'

import { ask, call, emptyTable, eventually, fault, load, reader, select, texts, where, writer } from './sdk.js'

const { BUCKETS, BUCKET = 'no-bucket' } = process.env
const ROLE = 'arn:aws:iam::000000000000:role/runs'
const ENDLESS =
  'SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 10000)) b(y), ' +
  'UNNEST(sequence(1, 10000)) c(z) WHERE x * y % 7 = z % 5'

/** A request to create a scheduled query over `table`, of which `target` is in the same database. */
function scheduled(Name, table, target) {
  return {
    Name,
    QueryString:
      `SELECT host, @scheduled_runtime AS slot, avg(measure_value::double) AS mean FROM ${table.sql} GROUP BY host`,
    ScheduleConfiguration: { ScheduleExpression: 'cron(0 0 1 1 ? *)' },
    NotificationConfiguration: { SnsConfiguration: { TopicArn: 'arn:aws:sns:us-east-1:000000000000:told' } },
    ScheduledQueryExecutionRoleArn: ROLE,
    ErrorReportConfiguration: { S3Configuration: { BucketName: BUCKET, EncryptionOption: 'SSE_S3' } },
    TargetConfiguration: {
      TimestreamConfiguration: {
        DatabaseName: table.DatabaseName,
        TableName: target,
        TimeColumn: 'slot',
        DimensionMappings: [{ Name: 'host', DimensionValueType: 'VARCHAR' }],
        MultiMeasureMappings: {
          TargetMultiMeasureName: 'means',
          MultiMeasureAttributeMappings: [{ SourceColumn: 'mean', MeasureValueType: 'DOUBLE' }],
        },
      },
    },
  }
}

export async function schedules() {
  const table = await emptyTable('schedules')
  const { DatabaseName, TableName } = table
  await call('CreateTable', { DatabaseName, TableName: 'means' })
  await call('WriteRecords', { DatabaseName, TableName, Records: [load('a', 1.5), load('b', 2.5)] })
  const names = ['one', 'three', 'two'].map((name) => `js-${process.pid}-${name}`)
  const Tags = [{ Key: 'stage', Value: 'test' }]
  const arns = []
  for (const name of names) {
    arns.push((await ask('CreateScheduledQuery', { ...scheduled(name, table, 'means'), Tags })).Arn)
  }

  for (const pageSize of [1, 2, 7]) {
    const found = []
    for await (const page of query.paginateListScheduledQueries({ client: reader, pageSize }, {})) {
      assert.ok(page.ScheduledQueries.length <= pageSize)
      found.push(...page.ScheduledQueries.filter(({ Arn }) => arns.includes(Arn)))
    }
    assert.deepEqual(found.map(({ Name }) => Name), names)
    assert.ok(found.every(({ CreationTime, NextInvocationTime }) => CreationTime < NextInvocationTime))
  }

  const [ScheduledQueryArn] = arns
  const wanted = scheduled(names[0], table, 'means')
  const { ScheduledQuery } = await ask('DescribeScheduledQuery', { ScheduledQueryArn })
  for (const member of Object.keys(wanted)) assert.deepEqual(ScheduledQuery[member], wanted[member])
  assert.equal(ScheduledQuery.State, 'ENABLED')
  assert.ok(ScheduledQuery.NextInvocationTime instanceof Date)

  const InvocationTime = new Date(Math.floor(Date.now() / 1000) * 1000)
  await ask('ExecuteScheduledQuery', { ScheduledQueryArn, InvocationTime })
  const run = await eventually(
    async () => (await ask('DescribeScheduledQuery', { ScheduledQueryArn })).ScheduledQuery.LastRunSummary,
  )
  assert.equal(run.RunStatus, 'MANUAL_TRIGGER_SUCCESS')
  assert.deepEqual(run.InvocationTime, InvocationTime)
  assert.equal(run.ExecutionStats.RecordsIngested, 2)
  const means = `SELECT host, mean FROM "${DatabaseName}"."means" ORDER BY host`
  assert.deepEqual(texts(await select(means)), [['a', '1.5'], ['b', '2.5']])

  await ask('UpdateScheduledQuery', { ScheduledQueryArn, State: 'DISABLED' })
  const after = (await ask('DescribeScheduledQuery', { ScheduledQueryArn })).ScheduledQuery
  assert.deepEqual([after.State, after.NextInvocationTime], ['DISABLED', undefined])
  await ask('TagResource', { ResourceARN: ScheduledQueryArn, Tags: [{ Key: 'team', Value: 'red' }] })
  await ask('UntagResource', { ResourceARN: ScheduledQueryArn, TagKeys: ['stage'] })
  const listed = []
  const of = { ResourceARN: ScheduledQueryArn }
  for await (const page of query.paginateListTagsForResource({ client: reader, pageSize: 1 }, of)) {
    listed.push(...page.Tags)
  }
  assert.deepEqual(listed, [{ Key: 'team', Value: 'red' }])

  await fault(ask('CreateScheduledQuery', wanted), query.ConflictException, 409)
  for (const arn of arns) await ask('DeleteScheduledQuery', { ScheduledQueryArn: arn })
  const gone = await fault(ask('DescribeScheduledQuery', { ScheduledQueryArn }), query.ResourceNotFoundException, 404)
  assert.equal(gone.ScheduledQueryArn, ScheduledQueryArn)
}

/** Those that are not met elsewhere, each of its own class. */
export async function typedFaults() {
  const { DatabaseName } = await emptyTable('faults')
  const failed = await fault(select('SELECT 1 / 0'), query.QueryExecutionException, 400)
  assert.match(failed.message, /Division by zero/)
  const ResourceARN = (await call('DescribeDatabase', { DatabaseName })).Database.Arn
  const Tags = Array.from({ length: 200 }, (_, n) => ({ Key: `k${n}`, Value: '' }))
  await call('TagResource', { ResourceARN, Tags })
  const one = { ResourceARN, Tags: [{ Key: 'one more', Value: '' }] }
  await fault(call('TagResource', one), write.ServiceQuotaExceededException, 402)
  await fault(ask('TagResource', one), query.ServiceQuotaExceededException, 402)

  // Insights are given once a second; this client does not try again by itself.
  const hasty = new query.TimestreamQueryClient({ ...where, maxAttempts: 1 })
  const QueryInsights = { Mode: 'ENABLED_WITH_RATE_CONTROL' }
  const often = () => hasty.send(new query.QueryCommand({ QueryString: 'SELECT 1', QueryInsights }))
  await fault(Promise.all(Array.from({ length: 8 }, often)), query.ThrottlingException, 429)
}

export async function settings() {
  const found = await ask('DescribeAccountSettings')
  assert.equal(found.QueryPricingModel, 'COMPUTE_UNITS')
  assert.equal(found.QueryCompute.ComputeMode, 'ON_DEMAND')
  assert.ok(found.MaxQueryTCU >= 4)
  const { sql, ...names } = await emptyTable('settings')
  await call('WriteRecords', { ...names, Records: [load('a', 1)] })
  const QueryString = `SELECT host, max(measure_value::double) AS most FROM ${sql} WHERE host = @host GROUP BY host`
  const prepared = await ask('PrepareQuery', { QueryString, ValidateOnly: true })
  assert.equal(prepared.QueryString, QueryString)
  assert.deepEqual(prepared.Columns.map(({ Name, Aliased }) => [Name, Aliased]), [['host', false], ['most', true]])
  assert.deepEqual(prepared.Columns[0].DatabaseName, names.DatabaseName)
  assert.deepEqual(prepared.Parameters, [{ Name: 'host', Type: { ScalarType: 'VARCHAR' } }])
  await fault(ask('PrepareQuery', { QueryString: 'SELECT nope', ValidateOnly: true }), query.ValidationException, 400)
}

/** A client that pages learns early of a slow query what it can cancel. */
export async function cancels() {
  const pages = query.paginateQuery({ client: reader, pageSize: 10 }, { QueryString: ENDLESS })
  const { value: first } = await pages.next()
  assert.deepEqual([first.Rows, first.ColumnInfo.length], [[], 1])
  assert.ok(first.QueryStatus.ProgressPercentage < 100)
  const next = pages.next()
  const { QueryId } = first
  assert.match((await ask('CancelQuery', { QueryId })).CancellationMessage, /was cancelled/)
  await fault(next, query.ConflictException, 409)
  assert.match((await ask('CancelQuery', { QueryId })).CancellationMessage, /already been cancelled/)
  const ended = (await select('SELECT 1')).QueryId
  await fault(ask('CancelQuery', { QueryId: ended }), query.ValidationException, 400)
}

/** The body of an object: from a bucket, or put there. */
async function object(url, body) {
  const place = url.replace('s3://', `${BUCKETS}/`)
  const answer = await fetch(place, body === undefined ? {} : { method: 'PUT', body })
  assert.ok(answer.ok, `${place}: ${answer.status}`)
  return answer.text()
}

export async function unloads() {
  const folder = `s3://${BUCKET}/js-${process.pid}`
  const answer = await select(
    `UNLOAD (SELECT x, 'text' AS y FROM UNNEST(sequence(1, 3)) AS t(x)) TO '${folder}'
     WITH (format = 'CSV', compression = 'NONE', include_header = 'true')`,
  )
  const [[rows, metadataFile, manifestFile]] = texts(answer)
  assert.equal(rows, '3')
  const manifest = JSON.parse(await object(manifestFile))
  const [{ url, file_metadata }] = manifest.result_files
  assert.ok(url.startsWith(`${folder}/results/`))
  assert.equal(file_metadata.row_count, 3)
  assert.equal(await object(url), 'x,y\n1,text\n2,text\n3,text\n')
  assert.deepEqual(JSON.parse(await object(metadataFile)).ColumnInfo.map(({ Name }) => Name), ['x', 'y'])
  const nowhere = select(`UNLOAD (SELECT 1) TO 's3://no-such-bucket/x'`)
  await fault(nowhere, query.QueryExecutionException, 400)
}

export async function batchLoads() {
  const { sql, DatabaseName, TableName } = await emptyTable('loads')
  const ObjectKeyPrefix = `js-loads-${process.pid}/`
  const now_ms = Date.now()
  await object(`s3://${BUCKET}/${ObjectKeyPrefix}1.csv`, `when,host,cpu\n${now_ms},a,1.5\n${now_ms},b,2.5\n`)
  const request = {
    DataModelConfiguration: {
      DataModel: {
        TimeColumn: 'when',
        DimensionMappings: [{ SourceColumn: 'host' }],
        MultiMeasureMappings: {
          TargetMultiMeasureName: 'all',
          MultiMeasureAttributeMappings: [{ SourceColumn: 'cpu', MeasureValueType: 'DOUBLE' }],
        },
      },
    },
    DataSourceConfiguration: {
      DataSourceS3Configuration: { BucketName: BUCKET, ObjectKeyPrefix },
      DataFormat: 'CSV',
      CsvConfiguration: { ColumnSeparator: ',', TrimWhiteSpace: true },
    },
    ReportConfiguration: { ReportS3Configuration: { BucketName: BUCKET, ObjectKeyPrefix: 'reports' } },
    TargetDatabaseName: DatabaseName,
    TargetTableName: TableName,
  }
  const tasks = []
  for (const RecordVersion of [1, 2, 3]) {
    tasks.push((await call('CreateBatchLoadTask', { ...request, RecordVersion })).TaskId)
  }
  for (const TaskId of tasks) {
    const task = await eventually(async () => {
      const found = (await call('DescribeBatchLoadTask', { TaskId })).BatchLoadTaskDescription
      return ['CREATED', 'IN_PROGRESS'].includes(found.TaskStatus) ? undefined : found
    })
    assert.equal(task.TaskStatus, 'SUCCEEDED')
    assert.equal(task.ProgressReport.RecordsIngested, 2)
    assert.deepEqual(task.DataSourceConfiguration, request.DataSourceConfiguration)
    assert.ok(task.CreationTime instanceof Date && task.CreationTime <= task.LastUpdatedTime)
  }
  assert.deepEqual(texts(await select(`SELECT host, cpu FROM ${sql} ORDER BY host`)), [['a', '1.5'], ['b', '2.5']])
  for (const pageSize of [1, 2, 7]) {
    const found = []
    const of = { TaskStatus: 'SUCCEEDED' }
    for await (const page of write.paginateListBatchLoadTasks({ client: writer, pageSize }, of)) {
      assert.ok(page.BatchLoadTasks.length <= pageSize)
      found.push(...page.BatchLoadTasks.map(({ TaskId }) => TaskId))
    }
    assert.deepEqual(found.filter((id) => tasks.includes(id)), tasks.toReversed())
  }
  await fault(call('ResumeBatchLoadTask', { TaskId: tasks[0] }), write.ValidationException, 400)
  const none = 'A'.repeat(32)
  await fault(call('DescribeBatchLoadTask', { TaskId: none }), write.ResourceNotFoundException, 404)
  const nowhere = { ...request, TargetTableName: 'nothing' }
  await fault(call('CreateBatchLoadTask', nowhere), write.ResourceNotFoundException, 404)
}
