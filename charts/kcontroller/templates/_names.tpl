{{- define "kcontroller.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kcontroller.fullname" -}}
{{- $name := include "kcontroller.name" . }}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $both .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kcontroller.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "kcontroller.serviceAccountName" -}}
{{- default (ternary (include "kcontroller.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "kcontroller.leaseName" -}}
{{- default (include "kcontroller.fullname" .) .Values.leaderElection.id }}
{{- end }}

{{- define "kcontroller.leaseNamespace" -}}
{{- default (include "kcontroller.namespace" .) .Values.leaderElection.namespace }}
{{- end }}

{{- /* A name with a suffix, cut so that the suffix stays: (list . "suffix"). */ -}}
{{- define "kcontroller.suffixed" -}}
{{- $context := index . 0 }}
{{- $suffix := index . 1 }}
{{- printf "%s-%s" (include "kcontroller.fullname" $context | trunc (int (sub 62 (len $suffix))) | trimSuffix "-") $suffix }}
{{- end }}

{{- /* Objects of the whole cluster carry the namespace, so that two releases of one name do not meet. */ -}}
{{- define "kcontroller.clusterName" -}}
{{- include "kcontroller.clusterWide" (list . "") }}
{{- end }}

{{- /* The same with a suffix: (list . "-suffix"). */ -}}
{{- define "kcontroller.clusterWide" -}}
{{- $context := index . 0 }}
{{- $name := printf "%s-%s%s" (include "kcontroller.namespace" $context) (include "kcontroller.fullname" $context) (index . 1) }}
{{- if gt (len $name) 63 }}
{{- $name = printf "%s-%s" ($name | trunc 54 | trimSuffix "-") (sha256sum $name | trunc 8) }}
{{- end }}
{{- $name }}
{{- end }}

{{- /* "true" where metrics are served and secure, else nothing. */ -}}
{{- define "kcontroller.securesMetrics" -}}
{{- if and .Values.metrics.enabled .Values.metrics.secure }}true{{ end }}
{{- end }}

{{- define "kcontroller.selectorLabels" -}}
app.kubernetes.io/name: {{ include "kcontroller.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kcontroller.standardLabels" -}}
{{ include "kcontroller.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/component: controller
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Ours win over the user's: a selector must go on finding its pods. */ -}}
{{- define "kcontroller.labels" -}}
{{- merge (include "kcontroller.standardLabels" . | fromYaml) .Values.commonLabels | toYaml }}
{{- end }}

{{- define "kcontroller.podLabels" -}}
{{- merge (include "kcontroller.standardLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml }}
{{- end }}

{{- /* Metadata of an object of ours: (dict "context" . "name" ... "namespace" ... "annotations" ...), the last two if any. */ -}}
{{- define "kcontroller.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "kcontroller.labels" .context | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .context.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "kcontroller.image" -}}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $name = printf "%s/%s" . $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}
