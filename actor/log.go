package actor

import (
	"log/slog"

	pa "github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// bridge leads protoactor's log into ours. What protoactor calls information is of interest to its developers only:
// it tells of every actor system, dead letter and failure. We count or log those ourselves, so only warnings and worse
// get through.
func bridge(log *zap.Logger) func(*pa.ActorSystem) *slog.Logger {
	core := log.Core()
	if raised, err := zapcore.NewIncreaseLevelCore(core, zapcore.WarnLevel); err == nil {
		core = raised // otherwise it is stricter already
	}
	return func(*pa.ActorSystem) *slog.Logger {
		return slog.New(zapslog.NewHandler(core, zapslog.WithName("protoactor")))
	}
}
