// What programs on the Go SDK (version 2) do with a server: each check asserts results and typed errors, in a
// database of its own. `test_programs.py` builds and runs it:
//
//	checks ENDPOINT NAME...     the endpoint is given to the clients in code
//	checks - NAME...            they find it in the AWS_ENDPOINT_URL* variables, or where AWS would be
//	checks                      print the names
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
	"github.com/aws/smithy-go"
)

type check struct {
	name string
	run  func()
}

var (
	background = context.Background()
	settings   aws.Config
	write      *timestreamwrite.Client
	query      *timestreamquery.Client
	checks     = []check{
		{"tables", tables}, {"tags", tags}, {"faults", faults}, {"writes", writes}, {"rejects", rejects}, {"pages", pages},
		{"settings", accountSettings}, {"schedules", schedules}, {"unloads", unloads}, {"batchLoads", batchLoads},
	}
)

func main() {
	if len(os.Args) == 1 {
		for _, one := range checks {
			fmt.Println(one.name)
		}
		return
	}
	settings = must(config.LoadDefaultConfig(background))
	if endpoint := os.Args[1]; endpoint != "-" {
		settings.BaseEndpoint = aws.String(endpoint)
	}
	write = timestreamwrite.NewFromConfig(settings)
	query = timestreamquery.NewFromConfig(settings)
	for _, name := range os.Args[2:] {
		place := slices.IndexFunc(checks, func(one check) bool { return one.name == name })
		checks[place].run()
		fmt.Println("passed", name)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func equal(found, wanted any) {
	if !reflect.DeepEqual(found, wanted) {
		panic(fmt.Sprintf("found %v, wanted %v", found, wanted))
	}
}

// fault holds that an error is of type T and has this status.
func fault[T error](err error, status int) T {
	var typed T
	if !errors.As(err, &typed) {
		panic(fmt.Sprintf("%v is no %T", err, typed))
	}
	var response *awshttp.ResponseError
	if !errors.As(err, &response) {
		panic(err)
	}
	equal(response.HTTPStatusCode(), status)
	return typed
}

// emptyTable makes a table named records in a database of its own, whose name it returns.
func emptyTable(name string) *string {
	database := aws.String(fmt.Sprintf("go_%s_%d", name, os.Getpid()))
	must(write.CreateDatabase(background, &timestreamwrite.CreateDatabaseInput{DatabaseName: database}))
	must(write.CreateTable(background, &timestreamwrite.CreateTableInput{
		DatabaseName: database, TableName: aws.String("records"),
	}))
	return database
}

func put(database *string, records ...types.Record) (*types.RecordsIngested, error) {
	answer, err := write.WriteRecords(background, &timestreamwrite.WriteRecordsInput{
		DatabaseName: database, TableName: aws.String("records"), Records: records,
	})
	if err != nil {
		return nil, err
	}
	return answer.RecordsIngested, nil
}

// selected is all rows, a line each; NULL for NULL.
func selected(database *string, columns, rest string) []string {
	text := fmt.Sprintf(`SELECT %s FROM "%s"."records" %s`, columns, *database, rest)
	lines := []string{}
	pages := timestreamquery.NewQueryPaginator(query, &timestreamquery.QueryInput{QueryString: aws.String(text)})
	for pages.HasMorePages() {
		lines = append(lines, linesOf(must(pages.NextPage(background)).Rows)...)
	}
	return lines
}

func linesOf(rows []querytypes.Row) []string {
	lines := []string{}
	for _, row := range rows {
		words := []string{}
		for _, datum := range row.Data {
			if aws.ToBool(datum.NullValue) {
				words = append(words, "NULL")
			} else {
				words = append(words, aws.ToString(datum.ScalarValue))
			}
		}
		lines = append(lines, strings.Join(words, " | "))
	}
	return lines
}

func load(host, value string, at time.Time, version int64) types.Record {
	return types.Record{
		Dimensions:       []types.Dimension{{Name: aws.String("host"), Value: aws.String(host)}},
		MeasureName:      aws.String("load"),
		MeasureValue:     aws.String(value),
		MeasureValueType: types.MeasureValueTypeDouble,
		Time:             aws.String(strconv.FormatInt(at.UnixNano(), 10)),
		TimeUnit:         types.TimeUnitNanoseconds,
		Version:          aws.Int64(version),
	}
}

func tables() {
	database := emptyTable("tables")
	described := must(write.DescribeDatabase(background, &timestreamwrite.DescribeDatabaseInput{DatabaseName: database}))
	equal(described.Database.TableCount, int64(1))
	equal(time.Since(*described.Database.CreationTime).Abs() < time.Minute, true)
	key := aws.String("alias/other-key")
	updated := must(write.UpdateDatabase(background, &timestreamwrite.UpdateDatabaseInput{
		DatabaseName: database, KmsKeyId: key,
	}))
	equal(updated.Database.KmsKeyId, key)

	schema := &types.Schema{CompositePartitionKey: []types.PartitionKey{{
		Type: types.PartitionKeyTypeDimension, Name: aws.String("host"),
		EnforcementInRecord: types.PartitionKeyEnforcementLevelRequired,
	}}}
	made := must(write.CreateTable(background, &timestreamwrite.CreateTableInput{
		DatabaseName: database, TableName: aws.String("keyed"), Schema: schema,
	}))
	equal(made.Table.Schema, schema)
	equal(made.Table.TableStatus, types.TableStatusActive)
	retention := &types.RetentionProperties{
		MemoryStoreRetentionPeriodInHours: aws.Int64(12), MagneticStoreRetentionPeriodInDays: aws.Int64(30),
	}
	must(write.UpdateTable(background, &timestreamwrite.UpdateTableInput{
		DatabaseName: database, TableName: aws.String("keyed"), RetentionProperties: retention,
	}))
	after := must(write.DescribeTable(background, &timestreamwrite.DescribeTableInput{
		DatabaseName: database, TableName: aws.String("keyed"),
	}))
	equal(after.Table.RetentionProperties, retention)

	names := []string{}
	list := &timestreamwrite.ListTablesInput{DatabaseName: database, MaxResults: aws.Int32(1)}
	for pages := timestreamwrite.NewListTablesPaginator(write, list); pages.HasMorePages(); {
		for _, table := range must(pages.NextPage(background)).Tables {
			names = append(names, *table.TableName)
		}
	}
	equal(names, []string{"keyed", "records"})
	for _, name := range names {
		must(write.DeleteTable(background, &timestreamwrite.DeleteTableInput{
			DatabaseName: database, TableName: aws.String(name),
		}))
	}
	must(write.DeleteDatabase(background, &timestreamwrite.DeleteDatabaseInput{DatabaseName: database}))
	_, err := write.DescribeDatabase(background, &timestreamwrite.DescribeDatabaseInput{DatabaseName: database})
	fault[*types.ResourceNotFoundException](err, 404)
}

func tags() {
	database := aws.String(fmt.Sprintf("go_tags_%d", os.Getpid()))
	first := []types.Tag{
		{Key: aws.String("stage"), Value: aws.String("test")}, {Key: aws.String("team"), Value: aws.String("")},
	}
	arn := must(write.CreateDatabase(background, &timestreamwrite.CreateDatabaseInput{
		DatabaseName: database, Tags: first,
	})).Database.Arn
	input := &timestreamwrite.ListTagsForResourceInput{ResourceARN: arn}
	equal(must(write.ListTagsForResource(background, input)).Tags, first)
	must(write.TagResource(background, &timestreamwrite.TagResourceInput{
		ResourceARN: arn, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}},
	}))
	must(write.UntagResource(background, &timestreamwrite.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"stage"}}))
	byQuery := must(query.ListTagsForResource(background, &timestreamquery.ListTagsForResourceInput{ResourceARN: arn}))
	equal(byQuery.Tags, []querytypes.Tag{{Key: aws.String("team"), Value: aws.String("red")}})
}

func faults() {
	database := emptyTable("faults")
	_, err := write.CreateDatabase(background, &timestreamwrite.CreateDatabaseInput{DatabaseName: database})
	fault[*types.ConflictException](err, 409)
	_, err = write.DescribeTable(background, &timestreamwrite.DescribeTableInput{
		DatabaseName: database, TableName: aws.String("nothing"),
	})
	equal(fault[*types.ResourceNotFoundException](err, 404).ErrorMessage(), "The table nothing does not exist.")
	_, err = put(database, load("a", "one", time.Now(), 1))
	wrong := fault[*types.ValidationException](err, 400)
	equal(wrong.ErrorMessage(), "Invalid value one for double measure value type.")
	equal(wrong.ErrorFault(), smithy.FaultClient)
	_, err = query.Query(background, &timestreamquery.QueryInput{QueryString: aws.String("SELECT 'open")})
	syntax := fault[*querytypes.ValidationException](err, 400)
	equal(syntax.ErrorMessage(), "The query syntax is invalid at line 1:8")

	stranger := timestreamwrite.NewFromConfig(settings, func(options *timestreamwrite.Options) {
		options.Credentials = credentials.NewStaticCredentialsProvider("AKIDNOBODY", "wrong", "")
	})
	_, err = stranger.ListDatabases(background, &timestreamwrite.ListDatabasesInput{})
	var denied smithy.APIError
	equal(errors.As(err, &denied), true)
	equal(denied.ErrorCode(), "UnrecognizedClientException")
}

func writes() {
	database := emptyTable("writes")
	now := time.Now().UTC()
	common := &types.Record{
		Dimensions:       []types.Dimension{{Name: aws.String("region"), Value: aws.String("eu")}},
		MeasureName:      aws.String("load"),
		MeasureValueType: types.MeasureValueTypeBigint,
		Time:             aws.String(strconv.FormatInt(now.UnixMilli(), 10)),
	}
	records := []types.Record{}
	for n, host := range []string{"a", "b"} {
		records = append(records, types.Record{
			Dimensions:   []types.Dimension{{Name: aws.String("host"), Value: aws.String(host)}},
			MeasureValue: aws.String(strconv.FormatInt(1<<62+int64(n), 10)),
		})
	}
	answer := must(write.WriteRecords(background, &timestreamwrite.WriteRecordsInput{
		DatabaseName: database, TableName: aws.String("records"), CommonAttributes: common, Records: records,
	}))
	equal(*answer.RecordsIngested, types.RecordsIngested{Total: 2, MemoryStore: 2})
	equal(selected(database, "region, host, measure_value::bigint", "ORDER BY host"), []string{
		"eu | a | 4611686018427387904", "eu | b | 4611686018427387905",
	})

	at := strconv.FormatInt(now.UnixNano(), 10)
	multi := types.Record{
		Dimensions:       []types.Dimension{{Name: aws.String("host"), Value: aws.String("Zürich 🏔")}},
		MeasureName:      aws.String("all"),
		MeasureValueType: types.MeasureValueTypeMulti,
		MeasureValues: []types.MeasureValue{
			{Name: aws.String("d"), Type: types.MeasureValueTypeDouble, Value: aws.String("-0.0")},
			{Name: aws.String("v"), Type: types.MeasureValueTypeVarchar, Value: aws.String(`it's "so"`)},
			{Name: aws.String("b"), Type: types.MeasureValueTypeBoolean, Value: aws.String("true")},
			{Name: aws.String("t"), Type: types.MeasureValueTypeTimestamp, Value: aws.String(at)},
		},
		Time:     aws.String(at),
		TimeUnit: types.TimeUnitNanoseconds,
	}
	equal(must(put(database, multi)).Total, int32(1))
	instant := now.Format("2006-01-02 15:04:05.000000000")
	equal(selected(database, "host, d, v, b, t, time, measure_value::bigint", "WHERE measure_name = 'all'"), []string{
		`Zürich 🏔 | -0.0 | it's "so" | true | ` + instant + " | " + instant + " | NULL",
	})
}

func rejects() {
	database := emptyTable("rejects")
	now := time.Now()
	must(put(database, load("a", "1", now, 5)))
	_, err := put(database, load("a", "2", now, 4), load("b", "3", now, 1), load("c", "4", time.Unix(1, 0), 1))
	rejected := fault[*types.RejectedRecordsException](err, 419)
	equal(len(rejected.RejectedRecords), 2)
	equal(rejected.RejectedRecords[0], types.RejectedRecord{
		RecordIndex: 0,
		Reason: aws.String("The record version 4 is lower than the existing version 5. " +
			"A higher version is required to update the measure value."),
		ExistingVersion: aws.Int64(5),
	})
	equal(rejected.RejectedRecords[1].RecordIndex, int32(2))
	reason := *rejected.RejectedRecords[1].Reason
	equal(strings.HasPrefix(reason, "The record timestamp is outside the time range ["), true)
	equal(selected(database, "host, measure_value::double", "ORDER BY host"), []string{"a | 1.0", "b | 3.0"})
	must(put(database, load("a", "2", now, 6)))
	equal(selected(database, "measure_value::double", "WHERE host = 'a'"), []string{"2.0"})
}

func pages() {
	database := emptyTable("pages")
	records, wanted := []types.Record{}, []string{}
	for n := range 10 {
		records = append(records, load(fmt.Sprintf("h%d", n), "1", time.Now(), 1))
		wanted = append(wanted, fmt.Sprintf("h%d", n))
	}
	must(put(database, records...))
	text := fmt.Sprintf(`SELECT host FROM "%s"."records" ORDER BY host`, *database)
	for _, size := range []int32{1, 3, 10, 11, 997} {
		input := &timestreamquery.QueryInput{QueryString: aws.String(text), MaxRows: aws.Int32(size)}
		found := []string{}
		for pages := timestreamquery.NewQueryPaginator(query, input); pages.HasMorePages(); {
			page := must(pages.NextPage(background))
			equal(len(page.Rows) <= int(size), true)
			equal(page.ColumnInfo[0].Type.ScalarType, querytypes.ScalarTypeVarchar)
			found = append(found, linesOf(page.Rows)...)
		}
		equal(found, wanted)
	}
}
