// Checks of what takes its time: pages, account settings, scheduled queries, UNLOAD and batch load. main.go names them.
// Those of buckets use BUCKET of the S3-compatible server at BUCKETS, which asks for no keys.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

const patience = 20 * time.Second

var bucket = os.Getenv("BUCKET")

// eventually is what find answers as soon as that is something.
func eventually[T any](find func() *T) *T {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if found := find(); found != nil {
			return found
		}
	}
	panic("it does not come")
}

func accountSettings() {
	found := must(query.DescribeAccountSettings(background, &timestreamquery.DescribeAccountSettingsInput{}))
	equal(found.QueryPricingModel, querytypes.QueryPricingModelComputeUnits)
	equal(found.QueryCompute.ComputeMode, querytypes.ComputeModeOnDemand)
	database := emptyTable("settings")
	must(put(database, load("a", "1", time.Now(), 1)))
	text := fmt.Sprintf(`SELECT host, count(*) AS n FROM "%s"."records" WHERE host = @host GROUP BY host`, *database)
	prepared := must(query.PrepareQuery(background, &timestreamquery.PrepareQueryInput{
		QueryString: aws.String(text), ValidateOnly: aws.Bool(true),
	}))
	equal([]any{*prepared.Columns[0].Name, *prepared.Columns[0].Aliased, *prepared.Columns[1].Aliased}, []any{
		"host", false, true,
	})
	equal(prepared.Columns[0].DatabaseName, database)
	equal(*prepared.Parameters[0].Name, "host")
	ended := must(query.Query(background, &timestreamquery.QueryInput{QueryString: aws.String("SELECT 1")}))
	_, err := query.CancelQuery(background, &timestreamquery.CancelQueryInput{QueryId: ended.QueryId})
	fault[*querytypes.ValidationException](err, 400)
	_, err = query.Query(background, &timestreamquery.QueryInput{QueryString: aws.String("SELECT 1 / 0")})
	fault[*querytypes.QueryExecutionException](err, 400)
}

// scheduled is a request to create a scheduled query over the table of a database, into its table means.
func scheduled(name string, database *string) *timestreamquery.CreateScheduledQueryInput {
	text := `SELECT host, @scheduled_runtime AS slot, avg(measure_value::double) AS mean FROM "%s"."records" GROUP BY host`
	return &timestreamquery.CreateScheduledQueryInput{
		Name:                  aws.String(name),
		QueryString:           aws.String(fmt.Sprintf(text, *database)),
		ScheduleConfiguration: &querytypes.ScheduleConfiguration{ScheduleExpression: aws.String("cron(0 0 1 1 ? *)")},
		NotificationConfiguration: &querytypes.NotificationConfiguration{SnsConfiguration: &querytypes.SnsConfiguration{
			TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:told"),
		}},
		ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/runs"),
		ErrorReportConfiguration: &querytypes.ErrorReportConfiguration{S3Configuration: &querytypes.S3Configuration{
			BucketName: aws.String("no-bucket"),
		}},
		TargetConfiguration: &querytypes.TargetConfiguration{
			TimestreamConfiguration: &querytypes.TimestreamConfiguration{
				DatabaseName: database,
				TableName:    aws.String("means"),
				TimeColumn:   aws.String("slot"),
				DimensionMappings: []querytypes.DimensionMapping{{
					Name: aws.String("host"), DimensionValueType: querytypes.DimensionValueTypeVarchar,
				}},
				MultiMeasureMappings: &querytypes.MultiMeasureMappings{
					TargetMultiMeasureName: aws.String("means"),
					MultiMeasureAttributeMappings: []querytypes.MultiMeasureAttributeMapping{{
						SourceColumn: aws.String("mean"), MeasureValueType: querytypes.ScalarMeasureValueTypeDouble,
					}},
				},
			},
		},
	}
}

func describedQuery(arn *string) *querytypes.ScheduledQueryDescription {
	return must(query.DescribeScheduledQuery(background, &timestreamquery.DescribeScheduledQueryInput{
		ScheduledQueryArn: arn,
	})).ScheduledQuery
}

func schedules() {
	database := emptyTable("schedules")
	must(write.CreateTable(background, &timestreamwrite.CreateTableInput{
		DatabaseName: database, TableName: aws.String("means"),
	}))
	must(put(database, load("a", "1.5", time.Now(), 1), load("b", "2.5", time.Now(), 1)))
	arns := []*string{}
	for _, name := range []string{"one", "three", "two"} {
		made := must(query.CreateScheduledQuery(background, scheduled(*database+"-"+name, database)))
		arns = append(arns, made.Arn)
	}
	for _, size := range []int32{1, 2, 7} {
		found := []*string{}
		list := &timestreamquery.ListScheduledQueriesInput{MaxResults: aws.Int32(size)}
		for pages := timestreamquery.NewListScheduledQueriesPaginator(query, list); pages.HasMorePages(); {
			page := must(pages.NextPage(background)).ScheduledQueries
			equal(len(page) <= int(size), true)
			for _, one := range page {
				if strings.HasPrefix(*one.Name, *database) {
					found = append(found, one.Arn)
				}
			}
		}
		equal(found, arns)
	}

	arn := arns[0]
	wanted, described := scheduled(*database+"-one", database), describedQuery(arn)
	equal(described.TargetConfiguration, wanted.TargetConfiguration)
	equal(described.QueryString, wanted.QueryString)
	equal(described.State, querytypes.ScheduledQueryStateEnabled)
	equal(described.NextInvocationTime.After(time.Now()), true)
	invocation := time.Now().UTC().Truncate(time.Second)
	must(query.ExecuteScheduledQuery(background, &timestreamquery.ExecuteScheduledQueryInput{
		ScheduledQueryArn: arn, InvocationTime: &invocation,
	}))
	run := eventually(func() *querytypes.ScheduledQueryRunSummary { return describedQuery(arn).LastRunSummary })
	equal(run.RunStatus, querytypes.ScheduledQueryRunStatusManualTriggerSuccess)
	equal(run.InvocationTime.Equal(invocation), true)
	equal(run.ExecutionStats.RecordsIngested, int64(2))

	must(query.UpdateScheduledQuery(background, &timestreamquery.UpdateScheduledQueryInput{
		ScheduledQueryArn: arn, State: querytypes.ScheduledQueryStateDisabled,
	}))
	equal(describedQuery(arn).NextInvocationTime, (*time.Time)(nil))
	tag := []querytypes.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
	must(query.TagResource(background, &timestreamquery.TagResourceInput{ResourceARN: arn, Tags: tag}))
	equal(must(query.ListTagsForResource(background, &timestreamquery.ListTagsForResourceInput{ResourceARN: arn})).Tags, tag)

	_, err := query.CreateScheduledQuery(background, wanted)
	fault[*querytypes.ConflictException](err, 409)
	for _, one := range arns {
		must(query.DeleteScheduledQuery(background, &timestreamquery.DeleteScheduledQueryInput{ScheduledQueryArn: one}))
	}
	_, err = query.DescribeScheduledQuery(background, &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: arn})
	equal(fault[*querytypes.ResourceNotFoundException](err, 404).ScheduledQueryArn, arn)
}

// object is the body of an object of a bucket.
func object(url string) []byte {
	answer := must(http.Get(strings.Replace(url, "s3://", os.Getenv("BUCKETS")+"/", 1)))
	defer answer.Body.Close()
	equal(answer.StatusCode, 200)
	return must(io.ReadAll(answer.Body))
}

func unloads() {
	text := fmt.Sprintf(`UNLOAD (SELECT x, 'text' AS y FROM UNNEST(sequence(1, 3)) AS t(x)) TO 's3://%s/go-%d'
		WITH (format = 'CSV', compression = 'NONE')`, bucket, os.Getpid())
	lines := []string{}
	input := &timestreamquery.QueryInput{QueryString: aws.String(text)}
	for pages := timestreamquery.NewQueryPaginator(query, input); pages.HasMorePages(); {
		lines = append(lines, linesOf(must(pages.NextPage(background)).Rows)...)
	}
	equal(len(lines), 1)
	words := strings.Split(lines[0], " | ")
	equal(words[0], "3")
	var manifest struct {
		Files []struct {
			URL string `json:"url"`
		} `json:"result_files"`
	}
	if err := json.Unmarshal(object(words[2]), &manifest); err != nil {
		panic(err)
	}
	equal(string(object(manifest.Files[0].URL)), "1,text\n2,text\n3,text\n")
}

func batchLoads() {
	database := emptyTable("loads")
	prefix := fmt.Sprintf("go-loads-%d/", os.Getpid())
	place := fmt.Sprintf("%s/%s/%s1.csv", os.Getenv("BUCKETS"), bucket, prefix)
	now := time.Now().UnixMilli()
	body := strings.NewReader(fmt.Sprintf("when,host,cpu\n%d,a,1.5\n%d,b,2.5\n", now, now))
	equal(must(http.DefaultClient.Do(must(http.NewRequest(http.MethodPut, place, body)))).StatusCode, 200)
	source := &types.DataSourceConfiguration{
		DataSourceS3Configuration: &types.DataSourceS3Configuration{
			BucketName: aws.String(bucket), ObjectKeyPrefix: aws.String(prefix),
		},
		DataFormat:       types.BatchLoadDataFormatCsv,
		CsvConfiguration: &types.CsvConfiguration{ColumnSeparator: aws.String(",")},
	}
	input := timestreamwrite.CreateBatchLoadTaskInput{
		DataModelConfiguration: &types.DataModelConfiguration{DataModel: &types.DataModel{
			TimeColumn:        aws.String("when"),
			TimeUnit:          types.TimeUnitMilliseconds,
			DimensionMappings: []types.DimensionMapping{{SourceColumn: aws.String("host")}},
			MultiMeasureMappings: &types.MultiMeasureMappings{
				TargetMultiMeasureName: aws.String("all"),
				MultiMeasureAttributeMappings: []types.MultiMeasureAttributeMapping{{
					SourceColumn: aws.String("cpu"), MeasureValueType: types.ScalarMeasureValueTypeDouble,
				}},
			},
		}},
		DataSourceConfiguration: source,
		ReportConfiguration: &types.ReportConfiguration{ReportS3Configuration: &types.ReportS3Configuration{
			BucketName: aws.String(bucket),
		}},
		TargetDatabaseName: database,
		TargetTableName:    aws.String("records"),
	}
	tasks := []string{}
	for version := range int64(3) {
		// A copy, since the SDK puts a client token of its own into what it is given.
		one := input
		one.RecordVersion = aws.Int64(version + 1)
		tasks = append(tasks, *must(write.CreateBatchLoadTask(background, &one)).TaskId)
	}
	for _, id := range tasks {
		task := eventually(func() *types.BatchLoadTaskDescription {
			found := must(write.DescribeBatchLoadTask(background, &timestreamwrite.DescribeBatchLoadTaskInput{
				TaskId: aws.String(id),
			})).BatchLoadTaskDescription
			if found.TaskStatus == types.BatchLoadStatusCreated || found.TaskStatus == types.BatchLoadStatusInProgress {
				return nil
			}
			return found
		})
		equal(task.TaskStatus, types.BatchLoadStatusSucceeded)
		equal(task.ProgressReport.RecordsIngested, int64(2))
		equal(reflect.DeepEqual(task.DataSourceConfiguration, source), true)
	}
	equal(selected(database, "host, cpu", "ORDER BY host"), []string{"a | 1.5", "b | 2.5"})
	for _, size := range []int32{1, 2, 7} {
		found := []string{}
		list := &timestreamwrite.ListBatchLoadTasksInput{MaxResults: aws.Int32(size)}
		for pages := timestreamwrite.NewListBatchLoadTasksPaginator(write, list); pages.HasMorePages(); {
			for _, one := range must(pages.NextPage(background)).BatchLoadTasks {
				if *one.DatabaseName == *database {
					found = append(found, *one.TaskId)
				}
			}
		}
		slices.Reverse(found)
		equal(found, tasks)
	}
	_, err := write.ResumeBatchLoadTask(background, &timestreamwrite.ResumeBatchLoadTaskInput{TaskId: &tasks[0]})
	fault[*types.ValidationException](err, 400)
}
